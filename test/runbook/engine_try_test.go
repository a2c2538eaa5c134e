package runbook

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEngineTry(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	dir := t.TempDir()
	bin := os.Getenv("TEST_BINARY")
	os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nUSER 65532:65532\nENTRYPOINT [\"/github-pr-manager\"]\nCMD [\"serve\"]\n"), 0o644)
	os.WriteFile(filepath.Join(dir, "h.cfg"), []byte(`global
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
resolvers docker
  nameserver dns 127.0.0.11:53
  hold valid 1s
frontend f
  bind :3001
  default_backend b
backend b
  option httpchk GET /ready
  server-template s 10 github-pr-manager:3001 check inter 500ms fall 2 resolvers docker init-addr none
`), 0o644)
	os.WriteFile(filepath.Join(dir, "docker-compose.production.yml"), []byte(`services:
  github-pr-manager:
    image: github-pr-manager-enhanced:v1
    environment: {DATABASE_URL: "postgres://postgres:pw@postgres:5432/github_agent?sslmode=disable", REDIS_URL: "redis://redis:6379", WEBHOOK_SECRET: "0123456789abcdef0123"}
    depends_on: {postgres: {condition: service_healthy}}
    healthcheck: {test: ["CMD", "/github-pr-manager", "healthcheck"]}
    read_only: true
    volumes: ["data:/data"]
    restart: unless-stopped
    mem_limit: 512m
  postgres:
    image: postgres:15
    environment: {POSTGRES_PASSWORD: pw, POSTGRES_DB: github_agent}
    healthcheck: {test: ["CMD-SHELL", "pg_isready -U postgres -h 127.0.0.1"]}
    volumes: ["pg:/var/lib/postgresql/data", "./h.cfg:/migrations/x:ro"]
    ports: ["127.0.0.1:5432:5432"]
  redis:
    image: redis:7
    command: redis-server --save "" --appendonly no
    ports: ["127.0.0.1:6379:6379"]
  haproxy:
    image: haproxy:2.6
    volumes: ["./h.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro"]
    ports: ["127.0.0.1:3001:3001"]
volumes: {data: , pg: }
`), 0o644)
	e := newEngine(t, dir, func(string) string { return bin })
	path, address := e.listen()
	s := newShell(t, dir, []string{"PATH=" + path + ":" + os.Getenv("PATH"), "RUNBOOK_ENGINE=" + address, "HOME=" + t.TempDir(), "COMPOSE_PROJECT_NAME=github-pr-manager-enhanced"})
	for _, c := range []string{
		"docker-compose -f docker-compose.production.yml up -d",
		"docker ps", "sleep 1; curl -sS -f http://localhost:3001/health",
		"redis-cli -h localhost -p 6379 llen a", "PGPASSWORD=pw psql -h localhost -U postgres github_agent -c '\\d'",
		"docker-compose -f docker-compose.production.yml up -d --scale github-pr-manager=3; sleep 2; docker ps",
		"docker exec -it github-pr-manager-enhanced_github-pr-manager_1 kill -USR2 1; docker logs github-pr-manager-enhanced_github-pr-manager_1 --tail 3",
		"docker exec -it github-pr-manager-enhanced_postgres_1 psql -U postgres -d github_agent -c '\\d+ webhook_logs'",
		"docker exec -it github-pr-manager-enhanced_postgres_1 cat /migrations/x | head -3",
		"docker exec github-pr-manager-enhanced_haproxy_1 ps ax",
		"ss -ltnp | grep :3001; lsof -i :3001",
		"docker inspect github-pr-manager-enhanced_github-pr-manager_1 | grep -A 10 Health; docker stats github-pr-manager-enhanced_github-pr-manager_1",
		"time docker-compose -f docker-compose.production.yml restart github-pr-manager; curl -sS -f http://localhost:3001/health",
	} {
		t.Logf("$ %s\n%v", c, s.run(c, ""))
	}
}

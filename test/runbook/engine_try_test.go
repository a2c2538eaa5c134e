package runbook

import (
	"testing"
)

func TestEngineTry(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	s := newStage(t)
	s.composed()
	for _, c := range []string{
		"docker-compose -f docker-compose.production.yml up -d",
		"docker ps", "sleep 1; curl -sS -f http://localhost:3001/health",
		"redis-cli -h localhost -p 6379 llen a", "psql github_agent -c '\\d'",
		"docker-compose -f docker-compose.production.yml up -d --scale github-pr-manager=3; sleep 2; docker ps",
		"docker exec -it github-pr-manager-enhanced_github-pr-manager_1 kill -USR2 1; docker logs github-pr-manager-enhanced_github-pr-manager_1 --tail 3",
		"docker exec -it github-pr-manager-enhanced_postgres_1 psql -U postgres -d github_agent -c '\\d+ webhook_logs' | head -3",
		"docker exec github-pr-manager-enhanced_haproxy_1 ps ax",
		"curl -s localhost:3001/ready",
		"curl -sk https://localhost:443/ready",
		"curl -s localhost:9090/api/v1/targets | head -c 2000",
		"time docker-compose -f docker-compose.production.yml restart github-pr-manager; curl -sS -f http://localhost:3001/health",
	} {
		t.Logf("$ %s\n%v", c, s.shell.run(c, ""))
	}
	s.listen()
	t.Fail()
	t.Log(s.shell.run("sleep 1; curl -s localhost:3001/webhook/stats", ""))
}

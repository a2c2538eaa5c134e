package process

import (
	"os"
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv("ATTACK"); kind != "" {
		attacker(kind)
		return
	}
	testenv.Main(m)
}

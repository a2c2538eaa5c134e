package process

import (
	"testing"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

package compat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
)

type kstatusTests struct {
	Tests []struct {
		InputPath string        `json:"inputPath"`
		Status    status.Status `json:"status"`
	} `json:"tests"`
}

// What `helm upgrade --wait` of Helm 4, Flux's health checks and kpt wait for.
func TestKstatusSaysWhatUsersExpect(t *testing.T) {
	var all kstatusTests
	readYAML(t, "kstatus.yaml", &all)
	for _, one := range all.Tests {
		name := strings.TrimSuffix(filepath.Base(one.InputPath), ".yaml")
		t.Run(name, func(t *testing.T) {
			object := readObject(t, below("", one.InputPath))
			result, err := status.Compute(object)
			if err != nil {
				t.Fatal(err)
			}
			if result.Status != one.Status {
				t.Errorf("%s, not %s: %s", result.Status, one.Status, result.Message)
			}
			if result.Status == status.FailedStatus && result.Message == "" {
				t.Error("fails without a word of why")
			}
		})
	}
	seen := map[status.Status]bool{}
	for _, one := range all.Tests {
		seen[one.Status] = true
	}
	if len(seen) != 4 {
		t.Errorf("not every answer is asked for: %v", seen)
	}
}

// A tool takes both conditions at once for whichever stands first.
func TestNoObjectIsReconcilingAndStalled(t *testing.T) {
	var all kstatusTests
	readYAML(t, "kstatus.yaml", &all)
	for _, one := range all.Tests {
		object := readObject(t, below("", one.InputPath))
		conditions, err := status.GetObjectWithConditions(object.Object)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, condition := range conditions.Status.Conditions {
			isOne := condition.Type == "Reconciling" || condition.Type == "Stalled"
			if isOne && condition.Status == "True" {
				count++
			}
		}
		if count > 1 {
			t.Errorf("%s is both", one.InputPath)
		}
	}
}

// Another version of the library than Helm's would prove nothing of Helm.
func TestKstatusIsTheOneOfHelm4(t *testing.T) {
	for _, module := range []string{"github.com/fluxcd/cli-utils ", "k8s.io/apimachinery "} {
		if ours, helms := version(t, "go.mod", module), version(t, "../../xtask/tools/helm/go.mod", module); ours != helms {
			t.Errorf("%s: %s here, %s in Helm", module, ours, helms)
		}
	}
}

func version(t *testing.T, path, module string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), module); ok {
			return strings.Fields(rest)[0]
		}
	}
	t.Fatalf("%s requires no %s", path, module)
	return ""
}

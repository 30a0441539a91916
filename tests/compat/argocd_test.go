package compat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The layout of health_test.yaml.
type healthTests struct {
	Tests []struct {
		InputPath    string `json:"inputPath"`
		HealthStatus health `json:"healthStatus"`
	} `json:"tests"`
}

type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// The layout of actions/action_test.yaml.
type actionTests struct {
	DiscoveryTests []struct {
		InputPath string   `json:"inputPath"`
		Result    []action `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string            `json:"action"`
		InputPath          string            `json:"inputPath"`
		ExpectedOutputPath string            `json:"expectedOutputPath"`
		Parameters         map[string]string `json:"parameters"`
	} `json:"actionTests"`
}

type action struct {
	Name      string      `json:"name"`
	Disabled  bool        `json:"disabled,omitempty"`
	IconClass string      `json:"iconClass,omitempty"`
	Params    []parameter `json:"params,omitempty"`
}

type parameter struct {
	Name    string `json:"name"`
	Default string `json:"default,omitempty"`
}

// The argocd-cm that a user patches.
type configMap struct {
	Data map[string]string `json:"data"`
}

const configMapPath = "../../integrations/argo-cd/argocd-cm.yaml"

func script(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(below("", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestArgoCDHealthSaysWhatUsersExpect(t *testing.T) {
	var all healthTests
	readYAML(t, below("", "health_test.yaml"), &all)
	for _, one := range all.Tests {
		t.Run(filepath.Base(one.InputPath), func(t *testing.T) {
			object := readObject(t, below("", one.InputPath))
			var got health
			runLua(t, object, nil, script(t, "health.lua"), &got)
			if got != one.HealthStatus {
				t.Errorf("got %+v, not %+v", got, one.HealthStatus)
			}
		})
	}
}

func TestArgoCDHealthOfAnObjectWithoutStatusIsProgressing(t *testing.T) {
	object := readObject(t, below("testdata", "created.yaml"))
	unstructured.RemoveNestedField(object.Object, "status")
	var got health
	runLua(t, object, nil, script(t, "health.lua"), &got)
	if got.Status != "Progressing" {
		t.Errorf("got %+v", got)
	}
}

func TestArgoCDActionsAreOfferedWhereTheyFit(t *testing.T) {
	var all actionTests
	readYAML(t, below("actions", "action_test.yaml"), &all)
	for _, one := range all.DiscoveryTests {
		t.Run(filepath.Base(one.InputPath), func(t *testing.T) {
			object := readObject(t, below("actions", one.InputPath))
			found := map[string]action{}
			runLua(t, object, nil, script(t, "actions/discovery.lua"), &found)
			var got []action
			for name, one := range found {
				one.Name = name
				got = append(got, one)
			}
			equal(t, sorted(got), sorted(one.Result))
		})
	}
}

func sorted(actions []action) []action {
	slices.SortFunc(actions, func(a, b action) int { return strings.Compare(a.Name, b.Name) })
	return actions
}

func TestArgoCDActionsChangeWhatTheyNameAndNothingElse(t *testing.T) {
	var all actionTests
	readYAML(t, below("actions", "action_test.yaml"), &all)
	for _, one := range all.ActionTests {
		t.Run(one.Action, func(t *testing.T) {
			object := readObject(t, below("actions", one.InputPath))
			got := map[string]any{}
			path := filepath.Join("actions", one.Action, "action.lua")
			runLua(t, object, one.Parameters, script(t, path), &got)
			restore(got, object.Object)
			expected := readObject(t, below("actions", one.ExpectedOutputPath)).Object
			annotations := []string{"spec", "template", "metadata", "annotations"}
			time, found, _ := unstructured.NestedString(got, append(annotations, "kubectl.kubernetes.io/restartedAt")...)
			if found != (one.Action == "restart") || found && !strings.HasSuffix(time, "Z") {
				t.Errorf("restarted at %q", time)
			}
			if found {
				annotation := "0001-01-01T00:00:00Z"
				_ = unstructured.SetNestedField(got, annotation, append(annotations, "kubectl.kubernetes.io/restartedAt")...)
			}
			equal(t, got, expected)
		})
	}
}

// What a user patches into argocd-cm is what is tested here.
func TestArgoCDConfigMapCarriesTheTestedScripts(t *testing.T) {
	var found configMap
	text, err := os.ReadFile(configMapPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &found); err != nil {
		t.Fatal(err)
	}
	const kind = "graceful.dev_GracefulDeployment"
	equal(t, found.Data["resource.customizations.health."+kind], script(t, "health.lua"))
	var actions struct {
		Discovery   string `json:"discovery.lua"`
		Definitions []struct {
			Name   string `json:"name"`
			Action string `json:"action.lua"`
		} `json:"definitions"`
	}
	if err := yaml.UnmarshalStrict([]byte(found.Data["resource.customizations.actions."+kind]), &actions); err != nil {
		t.Fatal(err)
	}
	equal(t, actions.Discovery, script(t, "actions/discovery.lua"))
	names := map[string]bool{}
	for _, one := range actions.Definitions {
		names[one.Name] = true
		equal(t, one.Action, script(t, "actions/"+one.Name+"/action.lua"))
	}
	offered := map[string]action{}
	runLua(t, readObject(t, below("testdata", "complete.yaml")), nil, actions.Discovery, &offered)
	for name := range offered {
		if !names[name] {
			t.Errorf("%s is offered and not defined", name)
		}
	}
}

// equal compares as JSON: Lua knows one kind of number.
func equal(t *testing.T, got, expected any) {
	t.Helper()
	left, _ := json.MarshalIndent(got, "", " ")
	right, _ := json.MarshalIndent(expected, "", " ")
	if string(left) != string(right) {
		t.Errorf("got %s\nnot %s", left, right)
	}
}

package compat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTiltfileNamesWhatIsThere(t *testing.T) {
	tilt := run(t)
	var paths []string
	for _, one := range tilt.calls {
		for _, parameter := range []string{"chart", "context", "dockerfile", "local_path"} {
			if path := one.text(parameter); path != "" {
				paths = append(paths, path)
			}
		}
		paths = append(paths, one.list("deps")...)
		if text := one.text("yaml"); one.function == "k8s_yaml" && !strings.ContainsAny(text, "{[") {
			paths = append(paths, text)
		}
	}
	if len(paths) < 8 {
		t.Errorf("only %v", paths)
	}
	for _, path := range paths {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil && !strings.HasPrefix(path, built) {
			t.Error(err)
		}
	}
}

func TestTiltfileRunsCommandsThatThereAre(t *testing.T) {
	tilt := run(t)
	var commands []string
	for _, one := range tilt.calls {
		for _, parameter := range []string{"cmd", "serve_cmd", "argv"} {
			if words := one.list(parameter); words != nil {
				commands = append(commands, strings.TrimPrefix(strings.Join(words, " "), "sh -c "))
			}
		}
	}
	subcommands := variants(t, "xtask/src/main.rs", "Command")
	stages := variants(t, "xtask/src/test/stage.rs", "Stage")
	for _, command := range commands {
		words := strings.Fields(command)
		switch words[0] + " " + words[1] {
		case "cargo xtask":
			if !slices.Contains(subcommands, words[2]) {
				t.Errorf("%s: not one of %v", command, subcommands)
			}
			if words[2] == "test" && !slices.Contains(stages, words[3]) {
				t.Errorf("%s: not one of %v", command, stages)
			}
		case "cargo build":
			for at, word := range words {
				if word == "--bin" {
					read(t, "src/bin/"+words[at+1]+".rs")
				}
			}
		case "kubectl patch", "kubectl describe":
			if words[2] != "gracefuldeployment" || words[3] != "go-net-http-graceful" {
				t.Error(command)
			}
		default:
			t.Errorf("unknown: %s", command)
		}
	}
	if len(commands) < 8 {
		t.Errorf("only %v", commands)
	}
}

// variants are the names of an enum of Rust's as a person types them.
func variants(t *testing.T, path, name string) []string {
	t.Helper()
	_, body, _ := strings.Cut(read(t, path), "enum "+name+" {\n")
	body, _, _ = strings.Cut(body, "\n}")
	var found []string
	for _, match := range regexp.MustCompile(`(?m)^    ([A-Z][A-Za-z0-9]*)[,(]`).FindAllStringSubmatch(body, -1) {
		hyphens := regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(match[1], "$1-$2")
		found = append(found, strings.ToLower(hyphens))
	}
	return found
}

func TestTiltfileSetsValuesOfTheChart(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "charts/graceful-deployment/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	tilt := run(t)
	if len(tilt.set) == 0 {
		t.Error("nothing is set")
	}
	for _, set := range tilt.set {
		key, _, _ := strings.Cut(set, "=")
		var value any = values
		for _, part := range strings.Split(key, ".") {
			object, _ := value.(map[string]any)
			var ok bool
			if value, ok = object[part]; !ok {
				t.Errorf("values.yaml has no %s", key)
			}
		}
	}
	// Images are found in objects by their names.
	for _, image := range []string{"graceful-operator", "graceful-agent"} {
		if !strings.Contains(read(t, "charts/graceful-deployment/values.yaml"), "repository: "+image+"\n") {
			t.Error(image)
		}
	}
	arguments := regexp.MustCompile(`args:\n +- run\n +- --agent-image\n +- \{\{ include "graceful.image"`)
	if !arguments.MatchString(read(t, "charts/graceful-deployment/templates/deployment.yaml")) {
		t.Error("the agent's image is not the third argument")
	}
}

func TestTiltfileMakesTheChartFitForLiveUpdates(t *testing.T) {
	var applied []map[string]any
	for _, one := range run(t).of("k8s_yaml") {
		if text := one.text("yaml"); strings.HasPrefix(text, "[") {
			if err := json.Unmarshal([]byte(text), &applied); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(applied) != 1 || applied[0]["kind"] != "Deployment" {
		t.Fatalf("%v", applied)
	}
	text, _ := json.Marshal(applied)
	if !strings.Contains(string(text), `"readOnlyRootFilesystem":false`) {
		t.Errorf("%s", text)
	}
}

func TestTiltfileHangsTogether(t *testing.T) {
	tilt := run(t)
	resources := map[string]bool{}
	for _, one := range tilt.of("local_resource") {
		resources[one.text("name")] = true
	}
	for _, one := range tilt.of("k8s_resource") {
		resources[one.text("workload")+one.text("new_name")] = true
	}
	for _, one := range tilt.calls {
		needs := one.list("resource_deps")
		if one.function == "cmd_button" {
			needs = append(needs, one.text("resource"))
		}
		for _, name := range needs {
			if !resources[name] {
				t.Errorf("%s of %v: there is no resource %s", one.function, one.arguments, name)
			}
		}
	}
	buttons := map[string]bool{}
	for _, one := range tilt.of("cmd_button") {
		if buttons[one.text("name")] {
			t.Errorf("two buttons %s", one.text("name"))
		}
		buttons[one.text("name")] = true
	}
	var images []string
	for _, function := range []string{"docker_build", "docker_build_with_restart"} {
		for _, one := range tilt.of(function) {
			images = append(images, one.text("ref"))
			for _, file := range one.list("only") {
				if !strings.Contains(one.text("dockerfile_contents"), " "+file+" ") {
					t.Errorf("%s: %s is not copied", one.text("ref"), file)
				}
			}
		}
	}
	slices.Sort(images)
	if !slices.Equal(images, []string{"example-go-net-http", "graceful-agent", "graceful-operator"}) {
		t.Error(images)
	}
	update := tilt.of("sync")
	restarted := tilt.of("docker_build_with_restart")
	if len(update) != 1 || len(restarted) != 1 || !slices.Contains(restarted[0].list("entrypoint"), update[0].text("remote_path")) {
		t.Errorf("what is updated is not what is started again: %v %v", update, restarted)
	}
}

package compat

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// What the Tiltfile may name although no file is there: its own command makes it.
const built = "target/tilt/"

// tiltAPI is the functions of Tilt that the Tiltfile calls, with the parameters that Tilt's reference names, those
// that are given by place first.
var tiltAPI = map[string][]string{
	"cmd_button":                {"name", "resource", "argv", "text", "icon_name", "env", "location"},
	"docker_build":              {"ref", "context", "dockerfile", "dockerfile_contents", "only", "ignore", "live_update", "build_args"},
	"docker_build_with_restart": {"ref", "context", "entrypoint", "live_update", "dockerfile", "dockerfile_contents", "only", "ignore"},
	"k8s_image_json_path":       {"paths", "api_version", "kind", "name", "namespace"},
	"k8s_kind":                  {"kind", "api_version", "image_json_path", "image_object", "pod_readiness"},
	"k8s_resource":              {"workload", "new_name", "port_forwards", "resource_deps", "objects", "labels", "links", "auto_init"},
	"k8s_yaml":                  {"yaml"},
	"local_resource":            {"name", "cmd", "deps", "resource_deps", "serve_cmd", "env", "labels", "trigger_mode", "auto_init"},
	"port_forward":              {"local_port", "container_port", "name", "link_path", "host"},
	"sync":                      {"local_path", "remote_path"},
}

// Where the extensions are that are loaded: tilt-dev/tilt-extensions.
var extensions = map[string][]string{
	"ext://restart_process": {"docker_build_with_restart"},
	"ext://uibutton":        {"cmd_button"},
}

// call is one call of a function of Tilt's.
type call struct {
	function  string
	arguments map[string]any
}

func (c call) text(name string) string {
	text, _ := c.arguments[name].(string)
	return text
}

func (c call) list(name string) []string {
	var list []string
	values, _ := c.arguments[name].([]any)
	for _, value := range values {
		text, _ := value.(string)
		list = append(list, text)
	}
	return list
}

// tilt executes the Tiltfile.
type tilt struct {
	t     *testing.T
	calls []call
	set   []string
}

func run(t *testing.T) *tilt {
	t.Helper()
	tilt := &tilt{t: t}
	known := starlark.StringDict{}
	for name := range tiltAPI {
		known[name] = starlark.NewBuiltin(name, tilt.record)
	}
	for name, function := range map[string]func(starlark.Tuple, []starlark.Tuple) (starlark.Value, error){
		"decode_yaml_stream": tilt.decode,
		"encode_json":        encode,
		"encode_yaml":        encode,
		"encode_yaml_stream": encode,
		"helm":               tilt.helm,
		"local":              tilt.local,
	} {
		known[name] = starlark.NewBuiltin(name, func(_ *starlark.Thread, _ *starlark.Builtin, places starlark.Tuple, names []starlark.Tuple) (starlark.Value, error) {
			return function(places, names)
		})
	}
	thread := &starlark.Thread{Load: func(_ *starlark.Thread, module string) (starlark.StringDict, error) {
		loaded := starlark.StringDict{}
		for _, name := range extensions[module] {
			loaded[name] = known[name]
		}
		return loaded, nil
	}}
	given := starlark.StringDict{}
	for name, value := range known {
		if !slices.Contains(slices.Concat(extensions["ext://restart_process"], extensions["ext://uibutton"]), name) {
			given[name] = value
		}
	}
	// As Tilt's own: statements at the top, and no recursion.
	options := syntax.FileOptions{TopLevelControl: true, GlobalReassign: true, Set: true}
	if _, err := starlark.ExecFileOptions(&options, thread, filepath.Join(root, "Tiltfile"), nil, given); err != nil {
		t.Fatal(err)
	}
	return tilt
}

func (tilt *tilt) record(_ *starlark.Thread, function *starlark.Builtin, places starlark.Tuple, names []starlark.Tuple) (starlark.Value, error) {
	tilt.t.Helper()
	parameters := tiltAPI[function.Name()]
	arguments := map[string]any{}
	for at, value := range places {
		arguments[parameters[at]] = plain(value)
	}
	for _, pair := range names {
		name := string(pair[0].(starlark.String))
		if !slices.Contains(parameters, name) {
			tilt.t.Errorf("%s has no parameter %s", function.Name(), name)
		}
		arguments[name] = plain(pair[1])
	}
	tilt.calls = append(tilt.calls, call{function.Name(), arguments})
	return starlark.None, nil
}

// helm gives what the chart gives in short: an operator, and a hook. Its own tests render it.
func (tilt *tilt) helm(places starlark.Tuple, names []starlark.Tuple) (starlark.Value, error) {
	for _, pair := range names {
		if name, ok := plain(pair[0]).(string); ok && name == "set" {
			for _, one := range plain(pair[1]).([]any) {
				tilt.set = append(tilt.set, one.(string))
			}
		}
	}
	tilt.calls = append(tilt.calls, call{"helm", map[string]any{"chart": plain(places[0])}})
	return starlark.String("rendered"), nil
}

func (tilt *tilt) decode(starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	var objects []any
	text := `
- kind: Deployment
  metadata: {name: graceful-operator}
  spec: {template: {spec: {containers: [{name: graceful-operator, securityContext: {readOnlyRootFilesystem: true}}]}}}
- kind: Job
  metadata: {name: graceful-check, annotations: {helm.sh/hook: post-install}}
`
	if err := yaml.Unmarshal([]byte(text), &objects); err != nil {
		return nil, err
	}
	return starlarkOf(objects), nil
}

// local runs what a Tiltfile may run while it is read: nothing that changes anything.
func (tilt *tilt) local(places starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	words := strings.Fields(plain(places[0]).(string))
	if !slices.Equal(words, []string{"rustc", "--print", "host-tuple"}) {
		tilt.t.Errorf("while it is read it runs %v", words)
	}
	said, err := exec.Command(words[0], words[1:]...).Output()
	return starlark.String(said), err
}

// encode writes JSON, which is YAML too.
func encode(places starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
	text, err := json.Marshal(plain(places[0]))
	return starlark.String(text), err
}

func plain(value starlark.Value) any {
	switch value := value.(type) {
	case starlark.Bool:
		return bool(value)
	case starlark.String:
		return string(value)
	case starlark.Int:
		number, _ := value.Int64()
		return number
	case *starlark.Dict:
		object := map[string]any{}
		for _, pair := range value.Items() {
			object[string(pair[0].(starlark.String))] = plain(pair[1])
		}
		return object
	case starlark.Iterable:
		list := []any{}
		for one := range starlark.Elements(value) {
			list = append(list, plain(one))
		}
		return list
	default:
		return nil
	}
}

func starlarkOf(value any) starlark.Value {
	switch value := value.(type) {
	case bool:
		return starlark.Bool(value)
	case string:
		return starlark.String(value)
	case []any:
		var list []starlark.Value
		for _, one := range value {
			list = append(list, starlarkOf(one))
		}
		return starlark.NewList(list)
	case map[string]any:
		dict := starlark.NewDict(len(value))
		for key, one := range value {
			_ = dict.SetKey(starlark.String(key), starlarkOf(one))
		}
		return dict
	default:
		return starlark.None
	}
}

func (tilt *tilt) of(function string) []call {
	var found []call
	for _, one := range tilt.calls {
		if one.function == function {
			found = append(found, one)
		}
	}
	return found
}

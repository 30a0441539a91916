package compat

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// runLua runs a script as Argo CD runs one of its ConfigMap (argo-cd, util/lua/lua.go): the libraries package,
// base and table, of os the time and the date alone, the object as the global obj, and a second in all.
func runLua(t *testing.T, object *unstructured.Unstructured, parameters map[string]string, script string, into any) {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	open(state, lua.LoadLibName, lua.OpenPackage)
	open(state, lua.BaseLibName, lua.OpenBase)
	open(state, lua.TabLibName, lua.OpenTable)
	clock := timeOnly(state)
	state.SetGlobal(lua.OsLibName, clock)
	state.PreloadModule(lua.OsLibName, func(state *lua.LState) int {
		state.Push(clock)
		return 1
	})
	limit, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", toLua(state, object.DeepCopy().Object))
	given := map[string]any{}
	for name, value := range parameters {
		given[name] = value
	}
	state.SetGlobal("actionParams", toLua(state, given))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	result, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the script returns %s, not a table", state.Get(-1).Type())
	}
	text, err := json.Marshal(fromLua(t, result))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func open(state *lua.LState, name string, library lua.LGFunction) {
	state.Push(state.NewFunction(library))
	state.Push(lua.LString(name))
	state.Call(1, 0)
}

// timeOnly is the library os without everything that reaches out of the script.
func timeOnly(state *lua.LState) *lua.LTable {
	// Opened in a state of its own: it makes itself known to the whole of one.
	whole := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer whole.Close()
	open(whole, lua.OsLibName, lua.OpenOs)
	all := whole.GetGlobal(lua.OsLibName).(*lua.LTable)
	module := state.NewTable()
	for _, name := range []string{"time", "date"} {
		function := all.RawGetString(name).(*lua.LFunction)
		module.RawSetString(name, state.NewFunction(function.GFunction))
	}
	return module
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, one := range value {
			table.Append(toLua(state, one))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, one := range value {
			table.RawSetString(key, toLua(state, one))
		}
		return table
	default:
		return lua.LNil
	}
}

// fromLua gives a table with numbers for keys as a list, and an empty one too: Lua knows no difference, and
// Argo CD's encoder takes it for a list.
func fromLua(t *testing.T, value lua.LValue) any {
	t.Helper()
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LNumber:
		return float64(value)
	case lua.LString:
		return string(value)
	case *lua.LTable:
		list, object := []any{}, map[string]any{}
		value.ForEach(func(key, one lua.LValue) {
			if number, ok := key.(lua.LNumber); ok && int(number) == len(list)+1 {
				list = append(list, fromLua(t, one))
			} else if name, ok := key.(lua.LString); ok {
				object[string(name)] = fromLua(t, one)
			} else {
				t.Fatalf("a key that JSON has no place for: %s", key)
			}
		})
		if len(object) > 0 && len(list) > 0 {
			t.Fatal("a table that is neither list nor object")
		}
		if len(object) > 0 {
			return object
		}
		return list
	case *lua.LNilType:
		return nil
	default:
		t.Fatalf("JSON has no place for a %s", value.Type())
		return nil
	}
}

// restore makes the empty lists empty objects that were objects before, as Argo CD does before it compares.
func restore(changed, before any) {
	switch changed := changed.(type) {
	case map[string]any:
		before, _ := before.(map[string]any)
		for key, value := range changed {
			changed[key] = restored(value, before[key])
		}
	case []any:
		before, _ := before.([]any)
		for at, value := range changed {
			if at < len(before) {
				changed[at] = restored(value, before[at])
			}
		}
	}
}

func restored(value, before any) any {
	if list, ok := value.([]any); ok && len(list) == 0 {
		if object, ok := before.(map[string]any); ok && len(object) == 0 {
			return object
		}
	}
	restore(value, before)
	return value
}

// A script that reaches for what Argo CD keeps from it fails here as it would there.
func TestScriptsHaveNoMoreThanArgoCDGives(t *testing.T) {
	for _, script := range []string{
		"return {found = string == nil and io == nil and debug == nil}",
		"return {found = require('os').execute == nil and require('os').getenv == nil}",
	} {
		var got struct{ Found bool }
		runLua(t, &unstructured.Unstructured{Object: map[string]any{}}, nil, script, &got)
		if !got.Found {
			t.Error(script)
		}
	}
}

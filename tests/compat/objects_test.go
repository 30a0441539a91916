// Package compat asks the libraries of other tools what they make of a GracefulDeployment, and executes the
// Tiltfile as Tilt does. The objects are written by tests/offline/rollout/shown.rs with the operator's own code;
// nothing here knows the operator.
package compat

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// argoCD is in the layout of Argo CD's resource_customizations.
const argoCD = "../../integrations/argo-cd/graceful.dev/GracefulDeployment"

// readYAML reads a file into a value; a field that the value has no place for is an error.
func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// readObject reads an object as a client does: whole numbers are int64.
func readObject(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	json, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(json); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return object
}

// below gives the path of a file in the layout of Argo CD.
func below(folder, name string) string {
	return filepath.Join(argoCD, folder, name)
}

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// What the kubelet puts into each pod that has a ServiceAccount.
const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

// keepList makes the balancer's list follow the pods, once a second. It keeps nothing in mind: each round
// begins with what is there, so a restart, or an answer that was lost, is made up for by the next round.
func keepList(stop context.Context) {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		log.Fatal(err)
	}
	namespace, err := os.ReadFile(account + "namespace")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	c := controller{
		api: &http.Client{
			Timeout:   10 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		},
		balancer:  &http.Client{Timeout: 5 * time.Second},
		pods:      "https://kubernetes.default.svc/api/v1/namespaces/" + string(namespace) + "/pods",
		list:      env("BALANCER", "http://balancer:8082") + "/backends",
		selector:  env("SELECTOR", "app=go-deregister"),
		port:      env("PORT", "8080"),
		condition: env("CONDITION", "balancer.example.com/deregistered"),
	}
	// An address needs no DNS, and is in the API server's certificate as its name is.
	if host := os.Getenv("KUBERNETES_SERVICE_HOST"); host != "" {
		c.pods = strings.Replace(c.pods, "kubernetes.default.svc", host+":"+env("KUBERNETES_SERVICE_PORT", "443"), 1)
	}
	for stop.Err() == nil {
		if err := c.round(stop); err != nil {
			log.Print(err)
		}
		select {
		case <-time.After(time.Second):
		case <-stop.Done():
		}
	}
}

type controller struct {
	api, balancer             *http.Client
	pods, list                string
	selector, port, condition string
}

type pod struct {
	Metadata struct {
		Name              string
		UID               string
		Labels            map[string]string
		DeletionTimestamp *time.Time
	}
	Status struct {
		PodIP      string
		Conditions []condition
	}
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

// round brings the list to what the pods are now, and the pods' condition to what the list is.
func (c *controller) round(ctx context.Context) error {
	var all struct{ Items []pod }
	if err := c.kubernetes(ctx, http.MethodGet, c.pods+"?labelSelector="+url.QueryEscape(c.selector), nil, &all); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, pod := range all.Items {
		known[pod.Metadata.Name] = true
		if err := c.one(ctx, pod); err != nil {
			log.Printf("%s: %v", pod.Metadata.Name, err)
		}
	}
	return c.forget(ctx, known)
}

func (c *controller) one(ctx context.Context, pod pod) error {
	name, drains := pod.Metadata.Name, pod.Metadata.Labels["graceful.dev/draining"] == "true"
	if drains || pod.Metadata.DeletionTimestamp != nil {
		// Asked again and again, until nothing is sent to the pod any more: only then the word is said.
		is, err := c.tell(ctx, http.MethodDelete, name, "")
		if err != nil || is != http.StatusNotFound || !drains {
			return err
		}
		return c.say(ctx, pod, "True")
	}
	if pod.status("Ready") != "True" {
		return nil // New, or ill. A balancer's own health checks are for the latter.
	}
	// In service, and back in it where a drain was cancelled: what was said of that one must not count for
	// the next, so it is taken back first.
	if pod.status(c.condition) == "True" {
		if err := c.say(ctx, pod, "False"); err != nil {
			return err
		}
	}
	_, err := c.tell(ctx, http.MethodPut, name, pod.Status.PodIP+":"+c.port)
	return err
}

// forget takes pods off the list that are gone.
func (c *controller) forget(ctx context.Context, known map[string]bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.list, nil)
	if err != nil {
		return err
	}
	response, err := c.balancer.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var names []string
	if err := json.NewDecoder(response.Body).Decode(&names); err != nil {
		return fmt.Errorf("the balancer's list: %w", err)
	}
	for _, name := range names {
		if !known[name] {
			if _, err := c.tell(ctx, http.MethodDelete, name, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell puts a pod on the balancer's list or takes it off, and returns what was answered: to a DELETE, 202
// while the balancer still sends to the pod, and 404 once it does not.
func (c *controller) tell(ctx context.Context, method, name, address string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.list+"/"+name, strings.NewReader(address))
	if err != nil {
		return 0, err
	}
	response, err := c.balancer.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode >= 400 && response.StatusCode != http.StatusNotFound {
		return 0, fmt.Errorf("the balancer: %s", response.Status)
	}
	return response.StatusCode, nil
}

// say sets the pod's condition, which needs a right of its own: patch on pods/status. The UID makes it fail
// for another pod of that name.
func (c *controller) say(ctx context.Context, pod pod, status string) error {
	if pod.status(c.condition) == status {
		return nil
	}
	log.Printf("%s: %s=%s", pod.Metadata.Name, c.condition, status)
	return c.kubernetes(ctx, http.MethodPatch, c.pods+"/"+pod.Metadata.Name+"/status", map[string]any{
		"metadata": map[string]any{"uid": pod.Metadata.UID},
		"status": map[string]any{"conditions": []map[string]any{{
			"type": c.condition, "status": status, "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		}}},
	}, nil)
}

func (p *pod) status(kind string) string {
	for _, one := range p.Status.Conditions {
		if one.Type == kind {
			return one.Status
		}
	}
	return ""
}

// kubernetes asks the API server. A patch is a strategic one: it merges conditions by their type.
func (c *controller) kubernetes(ctx context.Context, method, address string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(text))
	if err != nil {
		return err
	}
	// Read each time: the kubelet puts a new one there every hour.
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	request.Header.Set("Content-Type", "application/strategic-merge-patch+json")
	response, err := c.api.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		why, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("%s: %s", response.Status, why)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// Command manifests reads the files of a deployment as those do who act on them, and says what they would not take:
//
//	manifests dockerfile FILE    with BuildKit's own parser and its checks; prints the last stage's instructions as JSON
//	manifests compose FILE…      with compose-go, as `docker compose` does: the environment, .env, the files; prints the project as JSON
//	manifests kubernetes DIR     with kustomize; decodes every object strictly into Kubernetes' own types, prints them as JSON
//
// compose-go has a command of its own, which forgets the environment (its LoadModel does not hand it on), so the library is
// called here. The module is apart from the program's and from that of the other tools, since what it needs is large and nobody else's.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 || len(args) > 2 && args[0] != "compose" {
		return fmt.Errorf("want dockerfile FILE, compose FILE… or kubernetes DIR")
	}
	var out any
	var err error
	switch args[0] {
	case "dockerfile":
		out, err = dockerfile(args[1])
	case "compose":
		out, err = compose(args[1:])
	case "kubernetes":
		out, err = kubernetes(args[1])
	default:
		err = fmt.Errorf("%q is neither dockerfile nor compose nor kubernetes", args[0])
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// A stage of a Dockerfile, instruction by instruction.
type stage struct {
	Name         string
	Base         string
	Instructions []instruction
}

type instruction struct {
	Name string   // RUN, COPY, …
	Text string   // as written, on one line
	Exec []string // the words of an ENTRYPOINT, CMD, HEALTHCHECK or RUN
	Form string   // of these: exec or shell
}

func dockerfile(path string) ([]stage, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var complaints []string
	complain := func(rule, _, _, message string, at []parser.Range) {
		line := 0
		if len(at) > 0 {
			line = at[0].Start.Line
		}
		complaints = append(complaints, fmt.Sprintf("%s:%d: %s: %s", path, line, rule, message))
	}
	for _, w := range parsed.Warnings {
		complain("parser", "", "", w.Short, []parser.Range{*w.Location})
	}
	parsedStages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{Warn: complain}))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(complaints) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(complaints, "\n"))
	}
	var stages []stage
	for _, s := range parsedStages {
		out := stage{Name: s.Name, Base: s.BaseName}
		for _, c := range s.Commands {
			i := instruction{Name: strings.ToUpper(c.Name()), Text: fmt.Sprint(c)}
			words := func(line []string, shell bool) {
				i.Exec, i.Form = line, "exec"
				if shell {
					i.Form = "shell"
				}
			}
			switch c := c.(type) {
			case *instructions.RunCommand:
				words(c.CmdLine, c.PrependShell)
			case *instructions.EntrypointCommand:
				words(c.CmdLine, c.PrependShell)
			case *instructions.CmdCommand:
				words(c.CmdLine, c.PrependShell)
			case *instructions.HealthCheckCommand:
				words(c.Health.Test, len(c.Health.Test) > 0 && c.Health.Test[0] == "CMD-SHELL")
			}
			out.Instructions = append(out.Instructions, i)
		}
		stages = append(stages, out)
	}
	return stages, nil
}

func compose(files []string) (any, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	options, err := cli.NewProjectOptions(files, cli.WithWorkingDirectory(dir), cli.WithOsEnv, cli.WithEnvFiles(), cli.WithDotEnv)
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

// objects are the kinds that the manifests may hold, each a pointer to Kubernetes' own type.
var objects = map[string]func() any{
	"v1/Namespace":                       func() any { return new(corev1.Namespace) },
	"v1/ServiceAccount":                  func() any { return new(corev1.ServiceAccount) },
	"v1/ConfigMap":                       func() any { return new(corev1.ConfigMap) },
	"v1/Secret":                          func() any { return new(corev1.Secret) },
	"v1/Service":                         func() any { return new(corev1.Service) },
	"v1/PersistentVolumeClaim":           func() any { return new(corev1.PersistentVolumeClaim) },
	"apps/v1/Deployment":                 func() any { return new(appsv1.Deployment) },
	"batch/v1/CronJob":                   func() any { return new(batchv1.CronJob) },
	"policy/v1/PodDisruptionBudget":      func() any { return new(policyv1.PodDisruptionBudget) },
	"networking.k8s.io/v1/Ingress":       func() any { return new(networkingv1.Ingress) },
	"networking.k8s.io/v1/NetworkPolicy": func() any { return new(networkingv1.NetworkPolicy) },
}

func kubernetes(dir string) ([]any, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w", dir, err)
	}
	var all []any
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.CurId(), err)
		}
		kind := r.GetApiVersion() + "/" + r.GetKind()
		make, ok := objects[kind]
		if !ok {
			return nil, fmt.Errorf("%s %s is of a kind that this program doesn't know: add it to its table", kind, r.GetName())
		}
		object := make()
		if err := yaml.UnmarshalStrict(text, object); err != nil {
			return nil, fmt.Errorf("%s %s: %w", kind, r.GetName(), err)
		}
		if reflect.ValueOf(object).Elem().IsZero() {
			return nil, fmt.Errorf("%s %s is empty", kind, r.GetName())
		}
		all = append(all, object)
	}
	return all, nil
}

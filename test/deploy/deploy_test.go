package deploy

import (
	"bufio"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

var passwords = []string{
	"NATS_ROUTE_PASSWORD=r", "MILLRACE_GATEWAY_PASSWORD=12e4", "MILLRACE_PROCESSOR_PASSWORD=p", "MILLRACE_SCHEDULER_PASSWORD=s",
	"MILLRACE_OPERATOR_PASSWORD=o", "MILLRACE_ADMIN_PASSWORD=a", "GRAFANA_PASSWORD=g",
}

func load(env []string, profiles ...string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "compose.yaml")}, cli.WithEnv(env), cli.WithProfiles(profiles), cli.WithResolvedPaths(true))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

// millrace is the program, built as the Dockerfile builds it.
func millrace(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "millrace")
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0) (go build .*)-o /millrace (\S+)$`).FindStringSubmatch(string(dockerfile))
	if m == nil {
		t.Fatal("the Dockerfile does not build it")
	}
	build := exec.Command("sh", "-c", m[2]+" -buildvcs=false -o "+path+" "+m[3])
	build.Dir, build.Env = root, append(os.Environ(), m[1])
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// The composition is valid, asks for its passwords, and lets nobody be root, write outside
// his volume, or be without a health check.
func TestCompose(t *testing.T) {
	if _, err := load(nil); err == nil || !strings.Contains(err.Error(), "there is no .env") {
		t.Errorf("without passwords: %v", err)
	}
	p, err := load(passwords, "metrics")
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(p.Services))
	if want := []string{"gateway", "grafana", "nats-1", "nats-2", "nats-3", "processor", "prometheus", "scheduler", "volumes"}; !slices.Equal(names, want) {
		t.Errorf("the services are %v", names)
	}
	for name, s := range p.Services {
		if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s is not confined", name)
		}
		if name == "volumes" {
			continue
		}
		if s.User != "65532:65532" || len(s.CapAdd) > 0 {
			t.Errorf("%s runs as %q with %v", name, s.User, s.CapAdd)
		}
		if s.Build == nil && (s.HealthCheck == nil || len(s.HealthCheck.Test) == 0) { // what we build has its own
			t.Errorf("%s has no health check", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s is open on %q", name, port.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
					t.Errorf("%s mounts %s (read only: %t): %v", name, v.Source, v.ReadOnly, err)
				}
			}
		}
	}
	if got := *p.Services["nats-1"].Environment["MILLRACE_GATEWAY_PASSWORD"]; got != `"12e4"` {
		t.Errorf("the server is told the password %s", got)
	}
	if got := *p.Services["gateway"].Environment["MILLRACE_NATS_PASSWORD"]; got != "12e4" {
		t.Errorf("the gateway is told the password %s", got)
	}
	if n := p.Services["processor"].Deploy.Replicas; n == nil || *n != 2 || p.Services["processor"].ContainerName != "" {
		t.Error("the processors cannot be scaled, or are not two")
	}
}

// What the roles are told, they understand: a file that is not there is all that they
// complain of.
func TestRolesUnderstand(t *testing.T) {
	path := millrace(t)
	if info, err := os.Stat(path); err != nil || info.Size() > 60<<20 {
		t.Errorf("it has %d bytes, %v", info.Size(), err)
	} else {
		t.Logf("the binary has %.1f MB", float64(info.Size())/1e6)
	}
	if out, err := exec.Command("file", "-L", path).Output(); err == nil && !strings.Contains(string(out), "statically linked") {
		t.Errorf("%s", out)
	}
	p, err := load(passwords)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"gateway", "processor", "scheduler"} {
		s := p.Services[role]
		var env []string
		for name, value := range s.Environment {
			if name == "MILLRACE_NATS" || strings.HasSuffix(name, "_LISTEN") {
				continue // is not here, or is taken
			}
			env = append(env, name+"="+*value)
		}
		env = append(env, "MILLRACE_NATS=nats://127.0.0.1:1", "MILLRACE_NATS_CA=/nowhere/ca.pem", "MILLRACE_LISTEN=127.0.0.1:0", "MILLRACE_HEALTH_LISTEN=127.0.0.1:0", "MILLRACE_METRICS_LISTEN=127.0.0.1:0")
		if said := untilAsked(t, path, s.Command, env); !strings.Contains(said, "/nowhere/ca.pem") {
			t.Errorf("%s %v with %v says %s", role, s.Command, env, said)
		}
	}
}

// untilAsked is what the program says until it misses that file, or ends.
func untilAsked(t *testing.T, path string, args, env []string) (said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Dir = env, t.TempDir()
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(said, "ca.pem"); {
		said += lines.Text() + "\n"
	}
	cancel()
	_ = cmd.Wait()
	return said
}

// Each file that the image is made of is there, and sent to the builder.
func TestDockerfile(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, m := range regexp.MustCompile(`(?m)^COPY ([^-].*) \S+$`).FindAllStringSubmatch(text, -1) {
		for _, source := range strings.Fields(m[1]) {
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, want := range []string{"\nFROM scratch\n", "\nUSER 65532:65532\n", `CMD ["/millrace", "ready"]`, "\nENTRYPOINT [\"/millrace\"]\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the Dockerfile has no %q", want)
		}
	}
	ignored, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	// All that the program is made of.
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.Dir}}{{end}}", "./cmd/millrace")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for dir := range strings.Lines(string(out)) {
		rel, err := filepath.Rel(whole, strings.TrimSpace(dir))
		if err != nil || strings.HasPrefix(rel, "..") {
			continue
		}
		top, _, _ := strings.Cut(rel, string(filepath.Separator))
		if slices.Contains(strings.Fields(string(ignored)), top) {
			t.Errorf("%s is needed, and is not sent to the builder", rel)
		}
	}
}

// The unit is one that systemd takes, with a command line that the program takes.
func TestSystemdUnit(t *testing.T) {
	path := filepath.Join(root, "deploy/systemd/millrace.service")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/millrace (.*)$`).FindStringSubmatch(string(data))
	if m == nil {
		t.Fatal("the unit starts something else")
	}
	binary, dir := millrace(t), t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	args := append(strings.Fields(strings.ReplaceAll(m[1], "/var/lib/millrace", dir)), "--listen", "127.0.0.1:0", "--nats-port", "off")
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := json.NewDecoder(out); ; {
		var line struct{ Msg string }
		if err := lines.Decode(&line); err != nil {
			t.Fatalf("%v: it did not get ready", args)
		}
		if line.Msg == "ready" {
			break
		}
	}
	cancel()
	_ = cmd.Wait()

	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("the unit is not verified, since there is no systemd-analyze")
	}
	unit := filepath.Join(dir, "millrace.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(data), "/usr/local/bin/millrace", binary)), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit)
	if out, err := verify.CombinedOutput(); err != nil || strings.Contains(string(out), "millrace.service:") {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// Each alert comes when it is caused, and none when all is well.
func TestRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("the rules are not tried, since there is no promtool: install Debian's prometheus")
	}
	for _, args := range [][]string{{"check", "config", "prometheus.yml"}, {"test", "rules", "rules_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = filepath.Join(root, "deploy/prometheus")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

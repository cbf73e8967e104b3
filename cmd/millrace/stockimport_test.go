package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A SKU that is twice in a file is told of by the lines of the file, however far apart
// they are, and what is wrong is told in the order of the lines.
func TestStockImportOfALongFile(t *testing.T) {
	_, api := startDev(t)
	var file strings.Builder
	for i := 1; i <= 3*importLines; i++ {
		switch i {
		case 2, importLines + 7:
			file.WriteString("nonsense\n")
		case importLines + 5, importLines + 9, 2*importLines + 1:
			fmt.Fprintln(&file, `{"sku":"SKU 3","on_hand":7}`)
		default:
			fmt.Fprintf(&file, "{\"sku\":\"SKU %d\",\"on_hand\":1}\n", i)
		}
	}
	var out, stderr bytes.Buffer
	io := stdio{in: strings.NewReader(file.String()), out: &out, err: &stderr}
	if code := exitCode(run(t.Context(), []string{"stock", "import", "-", "--server", api.base}, nil, io), &stderr); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	want := fmt.Sprintf(`^line 2 .*
line %d .*SKU 3 +the SKU is on line 3 already
line %d .*
line %d .*SKU 3 +the SKU is on line 3 already
line %d .*SKU 3 +the SKU is on line 3 already
%d SKUs set, 5 lines refused\.
$`, importLines+5, importLines+7, importLines+9, 2*importLines+1, 3*importLines-5)
	if !regexp.MustCompile(want).MatchString(out.String()) {
		t.Errorf("it says\n%s%s", &out, &stderr)
	}
	if got := decode[struct {
		OnHand int `json:"on_hand"`
	}](t, api.get(t, "/v1/stock/SKU%203").body); got.OnHand != 1 {
		t.Errorf("there are %d", got.OnHand)
	}

	// A list says how to go on, also where a shell would read it otherwise.
	out.Reset()
	list := func(args ...string) {
		t.Helper()
		if err := run(t.Context(), append([]string{"stock", "list", "--json", "--server", api.base}, args...), nil, io); err != nil {
			t.Fatal(err)
		}
	}
	list("--limit", "250")
	said := regexp.MustCompile(`^millrace: there may be more: go on with --after '(.+)', or set a larger --limit\n$`).FindStringSubmatch(stderr.String())
	if said == nil {
		t.Fatalf("it says %q", stderr.String())
	}
	list("--limit", "10000", "--after", said[1])
	if n := strings.Count(out.String(), "\n"); n != 3*importLines-5 {
		t.Errorf("listed %d", n)
	}
}

package workload_test

import (
	"encoding/json"
	"testing"

	"millrace"
	"millrace/bench/workload"
)

func TestBody(t *testing.T) {
	if n := len(workload.Body()); n != workload.BodySize {
		t.Errorf("%d bytes", n)
	}
	var args workload.Args
	if err := json.Unmarshal(workload.ArgsJSON(), &args); err != nil || len(args.Items) != 2 {
		t.Errorf("%+v %v", args, err)
	}
	if err := millrace.ValidateID(workload.ID(99_999)); err != nil || len(workload.ID(0)) != len(millrace.NewID()) {
		t.Error(err)
	}
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the grammar of the command line. Each field with cmd is a verb; its Run
// method does it.
type cli struct {
	Config string `help:"Configuration file: a flag a line, as in \"listen: 127.0.0.1:8080\", and schedules (default: millrace.yaml, if there is one)." placeholder:"FILE"`

	Dev       devCmd       `cmd:"" default:"withargs" help:"Run everything in one process, with demo handlers (the default)."`
	Serve     serveCmd     `cmd:"" help:"Run everything in one process, for production on one machine."`
	Gateway   gatewayCmd   `cmd:"" help:"Serve the HTTP API, against a NATS server."`
	Processor processorCmd `cmd:"" help:"Carry out tasks, against a NATS server."`
	Scheduler schedulerCmd `cmd:"" help:"Move what is due to its queue and trim the logs, against a NATS server; run one or more."`
	Task      taskCmd      `cmd:"" help:"Submit tasks, look at them, call them off."`
	Dead      deadCmd      `cmd:"" help:"Search the tasks that failed for good, bring them back, or discard them."`
	Schedule  scheduleCmd  `cmd:"" help:"Have tasks submitted at a time, every so often, or by cron."`
	Order     orderCmd     `cmd:"" help:"Place orders, look at them, pay, cancel, fulfil and watch them."`
	Stock     stockCmd     `cmd:"" help:"Say what is in stock, and look at it."`
	Queue     queueCmd     `cmd:"" help:"Look at queues, add them, pause, resume, drain and purge them, and say which kind goes where."`
	Kind      kindCmd      `cmd:"" help:"Pause and resume a kind of tasks."`
	Limit     limitCmd     `cmd:"" help:"Limit how many tasks of a queue, kind or key run at once, or begin in a time, or look at the limits."`
	Worker    workerCmd    `cmd:"" help:"Look at the workers that run, quiet and stop them, and change how much they do."`
	Alerts    alertsCmd    `cmd:"" help:"List what is wrong, and what was in the last day."`
	Keys      keysCmd      `cmd:"" help:"Make the keys of the API, look at them, and revoke them."`
	Audit     auditCmd     `cmd:"" help:"See who did what."`
	Top       topCmd       `cmd:"" help:"Watch the queues, the workers and what fails, live."`
	Doctor    doctorCmd    `cmd:"" help:"Find out whether the broker is as Millrace needs it, and what to do if not."`
	Backup    backupCmd    `cmd:"" help:"Copy everything that is kept into a directory, while all goes on."`
	Restore   restoreCmd   `cmd:"" help:"Put back what a backup has, while nothing runs."`
	Ready     readyCmd     `cmd:"" help:"Ask a process whether it can take work, for health checks. Exits 1 if it cannot."`
	Version   versionCmd   `cmd:"" help:"Show the version."`
}

const description = `Millrace takes orders and other tasks over HTTP and makes sure that they are done.

A flag can also be set in the environment (--data-dir as MILLRACE_DATA_DIR) or in millrace.yaml. Flag beats environment beats file.`

// run is the whole program: main with its surroundings passed in.
func run(ctx context.Context, args, env []string, io stdio) error {
	invocation := invocation{args, env, io}
	parsed, err := invocation.parse()
	if err != nil || parsed == nil { // --help has been shown
		return err
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(io, invocation)
	return parsed.Run()
}

// invocation is how the program was called.
type invocation struct {
	args, env []string
	io        stdio
}

// parse reads the command line, with the environment and the configuration file as
// they are now. It returns nil if help was all that was asked for.
func (i invocation) parse() (*kong.Context, error) {
	settings, err := loadSettings(i.args, i.env)
	if err != nil {
		return nil, err
	}
	exited := false
	parser, err := kong.New(&cli{},
		kong.Name("millrace"),
		kong.Description(description),
		kong.Writers(i.io.out, i.io.err),
		kong.Exit(func(int) { exited = true }),
		kong.Resolvers(settings),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Vars{"wait": (30 * time.Second).String()},
	)
	if err != nil {
		return nil, fmt.Errorf("command line: %w", err)
	}
	parsed, err := parser.Parse(i.args)
	if exited {
		return nil, nil
	}
	if err == nil {
		parsed.Bind(settings.declaration())
	}
	return parsed, err
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/hibiken/asynq"

	"millrace/bench/workload"
)

// serve answers the two requests of the benchmark, as Millrace's API spells them.
func serve(client *asynq.Client, inspector *asynq.Inspector) (addr string, err error) {
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
	app.Post("/v1/tasks", func(c *fiber.Ctx) error {
		var s workload.Submission
		if err := json.Unmarshal(c.Body(), &s); err != nil {
			return c.Status(http.StatusUnprocessableEntity).SendString(err.Error())
		}
		id := uuid.Must(uuid.NewV7()).String()
		if err := submit(c.UserContext(), client, id, s.Args); err != nil {
			return c.Status(http.StatusServiceUnavailable).SendString(err.Error())
		}
		return c.Status(http.StatusAccepted).JSON(workload.Accepted{ID: id, State: "pending"})
	})
	app.Get("/v1/tasks/:id", func(c *fiber.Ctx) error {
		wait, _ := time.ParseDuration(c.Query("wait", "0s"))
		state, err := look(inspector, c.Params("id"), wait)
		if err != nil {
			return c.Status(http.StatusNotFound).SendString(err.Error())
		}
		return c.JSON(workload.Accepted{ID: c.Params("id"), State: state})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		fmt.Fprintln(os.Stderr, "asynq-noop: gateway ended:", app.Listener(listener))
		os.Exit(1)
	}()
	return listener.Addr().String(), nil
}

// submit keeps a task and its outcome as long as Millrace does, and tries it as often.
func submit(ctx context.Context, client *asynq.Client, id string, args []byte) error {
	task := asynq.NewTask(workload.Kind, args)
	_, err := client.EnqueueContext(ctx, task, asynq.TaskID(id), asynq.Retention(time.Hour), asynq.MaxRetry(3))
	return err
}

// look waits for a task by looking again: nothing tells when one is done.
func look(inspector *asynq.Inspector, id string, wait time.Duration) (state string, err error) {
	for until := time.Now().Add(wait); ; time.Sleep(lookEvery) {
		info, err := inspector.GetTaskInfo("default", id)
		switch {
		case err != nil:
			return "", err
		case info.State == asynq.TaskStateCompleted:
			return "succeeded", nil
		case time.Now().After(until):
			return info.State.String(), nil
		}
	}
}

const lookEvery = time.Millisecond

package gateway

import (
	"context"
	"net/http"
	"time"

	"millrace/streams"
)

type queueView struct {
	Name      string     `json:"name"`
	Pending   uint64     `json:"pending" doc:"How many tasks wait for their first worker."`
	OldestAt  *time.Time `json:"oldest_at,omitempty" doc:"Since when the first of them waits in the queue."`
	InFlight  int        `json:"in_flight" doc:"How many were given to workers and are not finished: they run, or come again in a moment."`
	Entered   uint64     `json:"entered" doc:"How many have come into it since it was made, so that two looks give a rate; one that is put off and tried again counts again."`
	Bytes     int64      `json:"bytes" doc:"How much its log takes, with what is done and still kept."`
	MaxBytes  int64      `json:"max_bytes" doc:"How much it may take. Then it refuses work, until it is trimmed."`
	Paused    *time.Time `json:"paused,omitempty" doc:"Since when no worker takes tasks from it; missing if they do."`
	Draining  *time.Time `json:"draining,omitempty" doc:"Since when nothing is let in; missing if it is."`
	HeldUntil *time.Time `json:"held_until,omitempty" doc:"Until when its consumer is paused on the broker, as by \"nats consumer pause\"; resume ends that too."`
	Added     bool       `json:"added,omitempty" doc:"It is there whatever the configuration of a process says."`
	Weight    int        `json:"weight,omitempty" doc:"The share of the handlers that it was added with."`
	Strict    bool       `json:"strict,omitempty" doc:"It was added to be served before all others."`
}

type queueOutput struct {
	Status   int
	Location string `header:"Location"`
	Body     queueView
}

type queueInput struct {
	Queue string `path:"queue" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
}

func viewQueue(q streams.QueueState) queueView {
	return queueView{
		Name: q.Name, Pending: q.Pending, OldestAt: present(q.Oldest), InFlight: q.InFlight, Entered: q.Entered, Bytes: q.Bytes, MaxBytes: q.MaxBytes,
		Paused: present(q.Paused), Draining: present(q.Draining), HeldUntil: present(q.HeldUntil),
		Added: q.Added, Weight: q.Weight, Strict: q.Strict,
	}
}

// queue looks at a queue that something was done to.
func (g *Gateway) queue(ctx context.Context, name string, done error) (*queueOutput, error) {
	if done != nil {
		return nil, done
	}
	q, err := g.store.QueueState(ctx, name)
	if err != nil {
		return nil, err
	}
	return &queueOutput{Status: http.StatusOK, Body: viewQueue(q)}, nil
}

type listQueuesOutput struct {
	Body struct {
		Queues []queueView `json:"queues"`
	}
}

func (g *Gateway) listQueues(ctx context.Context, _ *struct{}) (*listQueuesOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	out := &listQueuesOutput{}
	for _, name := range g.store.Queues() {
		q, err := g.store.QueueState(ctx, name)
		if err != nil {
			return nil, err
		}
		out.Body.Queues = append(out.Body.Queues, viewQueue(q))
	}
	return out, nil
}

func (g *Gateway) getQueue(ctx context.Context, in *queueInput) (*queueOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return g.queue(ctx, in.Queue, nil)
}

type addQueueInput struct {
	Body struct {
		Name   string `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
		Weight int    `json:"weight,omitempty" minimum:"1" maximum:"1000" doc:"Its share of the handlers while other queues have tasks too. Default: 1."`
		Strict bool   `json:"strict,omitempty" doc:"Serve it before all queues that are not strict."`
	}
}

func (g *Gateway) addQueue(ctx context.Context, in *addQueueInput) (*queueOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	added, err := g.store.AddQueue(ctx, in.Body.Name, streams.QueueSettings{Weight: in.Body.Weight, Strict: in.Body.Strict})
	out, err := g.queue(ctx, in.Body.Name, err)
	if err == nil && added {
		out.Status, out.Location = http.StatusCreated, "/v1/queues/"+in.Body.Name
	}
	return out, err
}

func (g *Gateway) pauseQueue(ctx context.Context, in *queueInput) (*queueOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return g.queue(ctx, in.Queue, g.store.PauseQueue(ctx, in.Queue))
}

func (g *Gateway) drainQueue(ctx context.Context, in *queueInput) (*queueOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return g.queue(ctx, in.Queue, g.store.DrainQueue(ctx, in.Queue))
}

func (g *Gateway) resumeQueue(ctx context.Context, in *queueInput) (*queueOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	return g.queue(ctx, in.Queue, g.store.ResumeQueue(ctx, in.Queue))
}

type purgeQueueInput struct {
	Queue   string `path:"queue" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Confirm int64  `query:"confirm" required:"true" minimum:"0" doc:"How many tasks are pending, as the queue tells. If it is another number, nothing is purged, and the answer is 409 with the right one."`
}

type purgeQueueOutput struct {
	Body struct {
		Purged uint64 `json:"purged" doc:"How many tasks were cancelled."`
		Left   uint64 `json:"left" doc:"How many are to be purged yet: purge again with this as confirm."`
	}
}

// purgeTime is how long one request purges: some 100,000 tasks.
const purgeTime = 10 * time.Second

func (g *Gateway) purgeQueue(ctx context.Context, in *purgeQueueInput) (*purgeQueueOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, purgeTime)
	defer cancel()
	out := &purgeQueueOutput{}
	var err error
	out.Body.Purged, out.Body.Left, err = g.store.Purge(ctx, in.Queue, uint64(in.Confirm))
	return out, err
}

// admit refuses what would go to a queue that is drained. What may have been taken in
// before, when its request came first, is not refused.
func (g *Gateway) admit(queue string, again bool) error {
	if again {
		return nil
	}
	return g.store.Admit(queue)
}

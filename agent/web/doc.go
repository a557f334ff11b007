// Package web is the agent's face over HTTP: webhooks that wake it, the runs
// and what running builds say, its health and its metrics.
//
// Input are requests, none of which is trusted, and what happens in the agent,
// by [agent.Progress]. Output are wakes and answers. It changes no record: what
// a delivery says is only believed as far as to look at a repository that is
// watched anyhow, so that lost, repeated and late deliveries do no harm.
package web

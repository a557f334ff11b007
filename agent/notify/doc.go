// Package notify tells any HTTP endpoint how runs and rollouts go, as CloudEvents
// 1.0 in structured JSON (https://github.com/cloudevents/spec), signed by HMAC-SHA256.
//
// Input are reports, output is one POST for each. An event that is sent
// again has the same id. The package decides nothing about when to tell.
package notify

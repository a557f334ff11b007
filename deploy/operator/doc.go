// Package operator serves the custom resources of package api: it mirrors the
// records of builds as LabImages, and makes workloads of LabEnvironments.
//
// Input are the records and the custom resources as the API server tells of
// them; output are Deployments, Services and budgets, and the resources' status.
// It sets no image of a workload: package deploy alone does.
package operator

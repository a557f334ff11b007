// Package operator serves the custom resources of package api: it mirrors the
// records of builds as LabImages, makes workloads of LabEnvironments, and Jobs of
// LabTasks.
//
// Input are the records and the custom resources as the API server tells of
// them; output are Deployments, Services, budgets and Jobs, the resources' status,
// and the records of tasks. A Job has its image from the start; that of a workload
// which lasts package deploy alone sets.
package operator

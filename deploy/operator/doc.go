// Package operator serves the custom resources of package api: it mirrors the
// agent's records as LabImages.
//
// Input are the records and the custom resources as the API server tells of
// them; output are objects of the cluster and the resources' status. It sets no
// image of a workload that there is: package deploy alone does.
package operator

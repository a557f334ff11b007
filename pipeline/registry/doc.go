// Package registry speaks to OCI registries.
//
// Input is the name of a repository (HOST/PATH) with a tag or a digest; output
// is the digest behind it, an image's configuration and blobs, or a tag that
// has moved. It builds on go-containerregistry, adds bounds on everything that
// a registry sends, retries with patience, and errors that name registry,
// repository and reference without a credential in them. It takes any registry
// that keeps to the OCI distribution specification, and pulls no image: blobs
// pass through it only where [Client.Open] is asked for one, or where a copy
// goes to a registry that cannot mount them.
//
// What an image holds and which tags there should be are not its business.
package registry

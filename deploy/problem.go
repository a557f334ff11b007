package deploy

import (
	"fmt"
	"regexp"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// lacking is how the API server says that a right is missing; admission plugins
// forbid in other words.
var lacking = regexp.MustCompile(`User "[^"]*" cannot (\S+) resource "([^"]*)" in API group "([^"]*)"(?: in the namespace "([^"]*)")?`)

// refusal is an error of the API server that is told as [Problem] does.
type refusal struct{ error }

func (r refusal) Error() string { return Problem(r.error) }
func (r refusal) Unwrap() error { return r.error }

// Problem tells of an API server's refusal in one line. Of a missing right it
// names the verb and the resource to grant.
func Problem(err error) string {
	if lacks := lacking.FindStringSubmatch(err.Error()); lacks != nil && apierrors.IsForbidden(err) {
		verb, resource, group, namespace := lacks[1], lacks[2], lacks[3], lacks[4]
		if group != "" {
			resource += "." + group
		}
		where := "in all namespaces"
		if namespace != "" {
			where = "in namespace " + namespace
		}
		return fmt.Sprintf("the role lacks %s on %s %s", verb, resource, where)
	}
	if apierrors.IsUnauthorized(err) {
		return "the API server does not accept the credentials"
	}
	return oneLine(err.Error())
}

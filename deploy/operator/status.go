package operator

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// status is where an environment stands, by its Deployment, by the records and
// by what kept the operator from making it. When its conditions came to be so is
// left open.
func status(e *api.LabEnvironment, d *appsv1.Deployment, listed deploy.Listed, problem error) api.LabEnvironmentStatus {
	s := api.LabEnvironmentStatus{
		ObservedGeneration: e.Generation, State: string(listed.State), Reason: printable(listed.Reason, maxReason),
		Commit: string(listed.Commit), Available: d.Status.AvailableReplicas,
	}
	if image := imageOf(d); image != deploy.NoImage {
		s.Image = image
		_, s.Digest, _ = strings.Cut(image, "@")
	}
	if listed.Pinned != nil {
		s.Pinned = printable(listed.Pinned.By, maxReason)
	}
	wanted := int32(1)
	if e.Spec.Replicas != nil {
		wanted = *e.Spec.Replicas
	}
	reason := camel(listed.State)
	ready := listed.State == deploy.Healthy && s.Available >= wanted
	bad := reason
	progressing, degraded := false, false
	switch listed.State {
	case deploy.Waiting, deploy.Pending, deploy.Rolling, deploy.RollingBack:
		progressing = true
	case deploy.Failed, deploy.RolledBack, deploy.Drifted, deploy.Degraded, deploy.Faulty:
		degraded = true
	}
	if !degraded && listed.Unavailable != "" {
		degraded, bad = true, unavailable
	}
	if problem != nil {
		s.Reason = printable(deploy.Problem(problem), maxReason)
		ready, progressing, degraded, reason = false, false, true, "NotMade"
		if _, ok := problem.(taken); ok {
			reason = "NameTaken"
		}
		bad = reason
	}
	s.Short = short(s.Digest, s.Commit, s.Reason)
	if listed.Nodes != nil {
		s.Nodes, s.Short.Nodes = listed.Nodes.Detail(), listed.Nodes.String()
	}
	s.Conditions = conditions(ready, progressing, degraded, reason, bad, s.Reason)
	return s
}

// unavailable is why something is Degraded whose state tells of other images.
const unavailable = "Unavailable"

// conditions have one reason, but that what is degraded may be so for a bad one.
func conditions(ready, progressing, degraded bool, reason, bad, message string) (all []metav1.Condition) {
	for kind, is := range map[string]bool{api.Ready: ready, api.Progressing: progressing, api.Degraded: degraded} {
		c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message}
		if is {
			c.Status = metav1.ConditionTrue
			if kind == api.Degraded {
				c.Reason = bad
			}
		}
		all = append(all, c)
	}
	return all
}

// camel is a state as conditions write their reasons: RolledBack.
func camel(s deploy.State) string {
	var b strings.Builder
	for word := range strings.SplitSeq(string(s), "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// tell makes an event of an environment that has come to stand elsewhere.
func (r *environments) tell(was *api.LabEnvironment, is api.LabEnvironmentStatus) {
	if was.Status.State == is.State && condition(was.Status.Conditions, api.Degraded) == condition(is.Conditions, api.Degraded) {
		return
	}
	kind := corev1.EventTypeNormal
	bad := condition(is.Conditions, api.Degraded)
	if bad.Status == metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	text := is.Reason
	if text == "" {
		text = "it is " + is.State
	}
	r.events.Eventf(was, nil, kind, bad.Reason, "Rollout", "%s", text)
}

// condition finds one by its type, as far as it tells what is the matter.
func condition(all []metav1.Condition, kind string) (found metav1.Condition) {
	for _, c := range all {
		if c.Type == kind {
			found = metav1.Condition{Status: c.Status, Reason: c.Reason}
		}
	}
	return found
}

package operator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// task is one of layer bert.
func (l *lab) task(name string, change func(*api.LabTaskSpec)) *api.LabTask {
	t := &api.LabTask{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: name}, Spec: api.LabTaskSpec{User: "ada", Layer: "bert"}}
	if change != nil {
		change(&t.Spec)
	}
	return t
}

// submit creates a task and returns it as the API server has it.
func (l *lab) submit(name string, change func(*api.LabTaskSpec)) *api.LabTask {
	l.Helper()
	t := l.task(name, change)
	l.check(l.client.Create(l.Context(), t))
	return t
}

// awaitTask waits until a task is as is says.
func (l *lab) awaitTask(name string, is func(api.LabTaskStatus) bool) (found api.LabTask) {
	l.Helper()
	l.await("LabTask "+name, func(ctx context.Context) error {
		found = api.LabTask{}
		if err := l.client.Get(ctx, types.NamespacedName{Namespace: l.ns, Name: name}, &found); err != nil {
			return err
		}
		if !is(found.Status) {
			return fmt.Errorf("it is %+v", found.Status)
		}
		return nil
	})
	return found
}

func in(state, kind, condition string) func(api.LabTaskStatus) bool {
	return func(s api.LabTaskStatus) bool {
		for _, c := range s.Conditions {
			if c.Type == kind {
				return s.State == state && string(c.Status)+" "+c.Reason == condition
			}
		}
		return false
	}
}

// pod is the newest pod of a task.
func (l *lab) pod(name string) *corev1.Pod {
	l.Helper()
	var list corev1.PodList
	l.check(l.client.List(l.Context(), &list, client.InNamespace(l.ns), client.MatchingLabels{"lab-layers.dev/task": name}))
	if len(list.Items) == 0 {
		l.Fatalf("task %s has no pod", name)
	}
	last := &list.Items[0]
	for i := range list.Items {
		if last.CreationTimestamp.Before(&list.Items[i].CreationTimestamp) {
			last = &list.Items[i]
		}
	}
	return last
}

// end has the program of a task end, as its kubelet would tell.
func (l *lab) end(name string, code int32, reason, message string) {
	l.Helper()
	p := l.pod(name)
	began := p.Status.ContainerStatuses[0].State.Running.StartedAt
	p.Status.Phase = corev1.PodSucceeded
	if code != 0 {
		p.Status.Phase = corev1.PodFailed
	}
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, Message: message, StartedAt: began, FinishedAt: metav1.Now(),
	}}
	l.check(l.client.Status().Update(l.Context(), p))
}

// nextSecond waits until what is done is not in the same second as an object's
// creation: the API server's stamps have no more.
func (l *lab) nextSecond(t *api.LabTask) {
	l.Helper()
	l.await("the next second", func(context.Context) error {
		if time.Now().Before(t.CreationTimestamp.Add(time.Second)) {
			return errors.New("it is the same")
		}
		return nil
	})
}

// recorded is what is recorded of a task.
func (l *lab) recorded(name string) deploy.Task {
	l.Helper()
	all, err := l.store.Tasks(l.Context(), l.ns, "", 100)
	l.check(err)
	for _, t := range all {
		if t.Name == name {
			return t
		}
	}
	l.Fatalf("task %s is not among %+v", name, all)
	return deploy.Task{}
}

func (l *lab) jobs() []batchv1.Job {
	l.Helper()
	var list batchv1.JobList
	l.check(l.client.List(l.Context(), &list, client.InNamespace(l.ns)))
	return list.Items
}

// TestTask: a task has the image that was current when it was submitted, although
// main moved on and nobody served it then.
func TestTask(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns, GPU: clustertest.GPU{Product: "A100", Count: 2}})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Crashes.Digest(1)})
	good := clustertest.Runs.Digest(2)
	commit := l.Release(mainRef, map[layers.Name]string{"bert": good})
	submitted := l.submit("train", func(s *api.LabTaskSpec) {
		s.GPU = &api.Devices{Count: 1}
		s.Container.Command, s.Container.Args = []string{"python3", "train.py"}, []string{"--epochs=3"}
		s.Container.Volumes = []api.Volume{{Name: "data", MountPath: "/data", Scratch: new(resource.MustParse("1Gi"))}}
		s.Deadline, s.Retries = "12h", 2
	})
	l.nextSecond(submitted)
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Crashes.Digest(3)})
	l.operate()
	task := l.awaitTask("train", in("Succeeded", api.Complete, "True Succeeded"))
	s := task.Status
	if s.Digest != good || s.Image != registry+"/bert@"+good || s.Commit != string(commit) || s.Ref != string(mainRef) || s.Run == 0 || s.Attempts != 1 {
		t.Errorf("it is %+v", s)
	}
	for kind, want := range map[string]string{
		api.Pinned: "True AtSubmission", api.Queued: "False Succeeded", api.Scheduled: "False Succeeded", api.Running: "False Succeeded", api.Failed: "False Succeeded",
	} {
		if got := condition(s.Conditions, kind); got != want {
			t.Errorf("%s is %s, not %s", kind, got, want)
		}
	}

	// The times are those of the objects, and in order.
	jobs, pod := l.jobs(), l.pod("train")
	if len(jobs) != 1 || jobs[0].Name != "train" || string(jobs[0].UID) != s.Job || !metav1.IsControlledBy(&jobs[0], &task) {
		t.Fatalf("the Jobs are %+v", jobs)
	}
	complete := slices.IndexFunc(jobs[0].Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == batchv1.JobComplete })
	j, ran := jobs[0], pod.Status.ContainerStatuses[0].State.Terminated
	stamps := []time.Time{
		submitted.CreationTimestamp.Time, s.Times.Admitted.Time, s.Times.Scheduled.Time, s.Times.Started.Time, s.Times.Finished.Time, s.Times.Released.Time,
	}
	for i, want := range []time.Time{submitted.CreationTimestamp.Time, pod.CreationTimestamp.Time, stamps[2], ran.StartedAt.Time, ran.FinishedAt.Time, j.Status.Conditions[complete].LastTransitionTime.Time} {
		if !stamps[i].Equal(want) || i > 0 && stamps[i].Before(stamps[i-1]) {
			t.Errorf("stamp %d is %v, not %v, in %v", i, stamps[i], want, stamps)
		}
	}
	if d := s.Durations; d.Scheduling.Duration != stamps[2].Sub(stamps[0]) || d.Initialisation == nil || d.Run == nil || d.Reclaim == nil || d.Scheduling.Duration > time.Minute {
		t.Errorf("the durations are %+v", d)
	}
	r := l.recorded("train")
	want := deploy.Task{
		Namespace: l.ns, Name: "train", UID: string(task.UID), User: "ada", Repository: labURL, Layer: "bert", Track: "main", Digest: r.Digest, Ref: mainRef,
		Commit: commit, Run: s.Run, GPUs: 1, State: deploy.TaskSucceeded, Attempts: 1, TaskTimes: r.TaskTimes,
	}
	if r != want || string(r.Digest) != good || !r.Submitted.Equal(stamps[0]) || !r.Finished.Equal(stamps[4]) || !r.Released.Equal(stamps[5]) {
		t.Errorf("the record is %+v", r)
	}

	// The Job says what it is of, and runs what was asked for.
	c := j.Spec.Template.Spec.Containers[0]
	if j.Annotations["lab-layers.dev/commit"] != string(commit) || j.Annotations["lab-layers.dev/user"] != "ada" || pod.Annotations["lab-layers.dev/digest"] != good {
		t.Errorf("the Job is annotated %v, its pod %v", j.Annotations, pod.Annotations)
	}
	if c.Image != s.Image || len(c.Env) != 0 || fmt.Sprint(c.Command, c.Args) != "[python3 train.py] [--epochs=3]" || c.VolumeMounts[0].MountPath != "/data" ||
		c.Resources.Limits.Name(clustertest.GPUResource, resource.DecimalSI).Value() != 1 || *j.Spec.ActiveDeadlineSeconds != 12*3600 || *j.Spec.BackoffLimit != 2 {
		t.Errorf("the Job is %+v", j.Spec)
	}
	l.await("events", func(ctx context.Context) error {
		got, err := l.eventsOf(ctx, &task)
		if err == nil && !strings.Contains(got, "Succeeded it has ended well") {
			err = fmt.Errorf("there are %q", got)
		}
		return err
	})
}

func TestTaskWaitsForTheFirstImage(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.operate()
	task := l.submit("train", func(s *api.LabTaskSpec) { s.Track = "v*" })
	waits := l.awaitTask("train", in("Waiting", api.Pinned, "False NoImage"))
	if !strings.Contains(waits.Status.Reason, "v* has no image of bert yet") || l.recorded("train").State != deploy.TaskWaiting {
		t.Errorf("it is %+v", waits.Status)
	}
	l.nextSecond(task)
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Crashes.Digest(1)})
	l.awaitTask("train", func(s api.LabTaskStatus) bool {
		return strings.HasSuffix(s.Reason, "waited for; one other ref has images")
	})
	l.submit("misspelt", func(s *api.LabTaskSpec) { s.Layer = "brt" })
	l.awaitTask("misspelt", func(s api.LabTaskStatus) bool {
		return s.Reason == "main has no image of brt yet: the first is waited for; did you mean bert?"
	})
	l.Release("refs/tags/v1", map[layers.Name]string{"gpt": clustertest.Crashes.Digest(2)})
	l.Release("refs/tags/v1.1", map[layers.Name]string{"bert": clustertest.Runs.Digest(3)})
	l.Release("refs/tags/v2", map[layers.Name]string{"bert": clustertest.Crashes.Digest(4)})
	done := l.awaitTask("train", in("Succeeded", api.Pinned, "True FirstImage"))
	if done.Status.Digest != clustertest.Runs.Digest(3) || done.Status.Ref != "refs/tags/v1.1" {
		t.Errorf("it is %+v", done.Status)
	}
}

func TestTaskOfADigest(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	old := l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(1)})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Crashes.Digest(2)})
	l.operate()
	l.submit("old", func(s *api.LabTaskSpec) { s.Digest = clustertest.Runs.Digest(1) })
	l.submit("none", func(s *api.LabTaskSpec) { s.Digest = clustertest.Runs.Digest(9) })
	l.submit("other", func(s *api.LabTaskSpec) { s.Digest, s.Layer = clustertest.Runs.Digest(1), "gpt" })
	l.submit("elsewhere", func(s *api.LabTaskSpec) { s.Repository = "nlp" })
	if task := l.awaitTask("old", in("Succeeded", api.Pinned, "True GivenDigest")); task.Status.Commit != string(old) {
		t.Errorf("it is %+v", task.Status)
	}
	// It asked for no GPU, whatever its image asks for.
	if env := l.jobs()[0].Spec.Template.Spec.Containers[0].Env; !slices.Contains(env, corev1.EnvVar{Name: "NVIDIA_VISIBLE_DEVICES", Value: "void"}) {
		t.Errorf("its program gets %+v", env)
	}
	l.awaitTask("none", in("Failed", api.Failed, "True UnknownDigest"))
	l.awaitTask("other", in("Failed", api.Failed, "True UnknownDigest"))
	if task := l.awaitTask("elsewhere", in("Waiting", api.Pinned, "False UnknownRepository")); task.Status.Reason != `the repository is "nlp": take the one that is watched, which has no name: leave it out` {
		t.Errorf("of another repository: %s", task.Status.Reason)
	}
}

// TestTasksWaitForGPUs: of four tasks on two GPUs two wait, and run then.
func TestTasksWaitForGPUs(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns, GPU: clustertest.GPU{Product: "A100", Count: 2, MemoryMiB: 40960}, Taints: []corev1.Taint{clustertest.GPUTaint()}})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Unready.Digest(1)})
	reads := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: l.ns}}
	reads.RoleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "lab-layers-capacity"}
	reads.Subjects = []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: l.ns, Name: "agent"}}
	l.check(l.client.Create(t.Context(), reads))
	t.Cleanup(func() { _ = l.client.Delete(context.Background(), reads) })
	l.operate()
	one := func(s *api.LabTaskSpec) { s.GPU = &api.Devices{Count: 1} }
	l.submit("a", one)
	l.submit("b", one)
	for _, name := range []string{"a", "b"} {
		l.awaitTask(name, in("Running", api.Running, "True Running"))
	}
	l.submit("c", one)
	l.submit("d", one)
	for _, name := range []string{"c", "d"} {
		task := l.awaitTask(name, in("Queued", api.Queued, "True Unschedulable"))
		if !strings.Contains(task.Status.Reason, "Insufficient nvidia.com/gpu") || task.Status.Times.Scheduled != nil || task.Status.Times.Admitted == nil {
			t.Errorf("%s is %+v", name, task.Status)
		}
	}
	// No node will ever do for the last.
	l.submit("e", func(s *api.LabTaskSpec) {
		s.GPU = &api.Devices{Count: 1, Memory: new(resource.MustParse("80Gi"))}
	})
	const short = "asks for GPUs with at least 81920 MiB (80Gi) of memory; node "
	if task := l.awaitTask("e", in("Queued", api.Queued, "True Unschedulable")); !strings.HasPrefix(task.Status.Reason, short+l.ns+" has 40960 MiB (40Gi): 0/") {
		t.Errorf("e is %+v", task.Status)
	}
	l.end("a", 0, "Completed", "")
	l.end("b", 0, "Completed", "")
	for _, name := range []string{"a", "b"} {
		l.awaitTask(name, in("Succeeded", api.Complete, "True Succeeded"))
	}
	for _, name := range []string{"c", "d"} {
		l.awaitTask(name, in("Running", api.Running, "True Running"))
	}
}

func TestTaskOverQuota(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns, GPU: clustertest.GPU{Product: "A100", Count: 8}})
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: "gpus"}}
	quota.Spec.Hard = corev1.ResourceList{"requests.nvidia.com/gpu": resource.MustParse("1")}
	l.check(l.client.Create(t.Context(), quota))
	l.await("the quota to count", func(ctx context.Context) error {
		err := l.client.Get(ctx, client.ObjectKeyFromObject(quota), quota)
		if err == nil && len(quota.Status.Used) == 0 {
			err = errors.New("it does not")
		}
		return err
	})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Unready.Digest(1)})
	l.operate()
	one := func(s *api.LabTaskSpec) { s.GPU = &api.Devices{Count: 1} }
	l.submit("a", one)
	l.awaitTask("a", in("Running", api.Running, "True Running"))
	l.submit("b", one)
	waits := l.awaitTask("b", in("Queued", api.Queued, "True QuotaExceeded"))
	if !strings.HasPrefix(waits.Status.Reason, "exceeded quota: gpus, requested: requests.nvidia.com/gpu=1") || waits.Status.Times.Admitted != nil {
		t.Errorf("it is %+v", waits.Status)
	}
	l.end("a", 0, "Completed", "")
	l.awaitTask("b", in("Running", api.Running, "True Running"))
}

// TestTaskInAQueue: Kueue lets a Job that is created suspended go.
func TestTaskInAQueue(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(1)})
	l.operate()
	l.submit("train", func(s *api.LabTaskSpec) { s.Queue = "ada" })
	task := l.awaitTask("train", in("Queued", api.Queued, "True NoKueue"))
	j := l.jobs()[0]
	if !*j.Spec.Suspend || j.Labels["kueue.x-k8s.io/queue-name"] != "ada" || !strings.HasPrefix(task.Status.Reason, "it waits for queue ada, and the cluster has no Kueue") || task.Status.Times.Admitted != nil {
		t.Errorf("the Job is %+v, the task %+v", j, task.Status)
	}
	suspended := client.MergeFrom(j.DeepCopy())
	j.Spec.Suspend = new(false)
	l.check(l.client.Patch(t.Context(), &j, suspended))
	l.awaitTask("train", in("Succeeded", api.Complete, "True Succeeded"))
}

func TestTasksThatFail(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Unready.Digest(1), "crash": clustertest.Crashes.Digest(2), "lost": clustertest.PullFails.Digest(3)})
	l.operate()
	l.submit("crash", func(s *api.LabTaskSpec) { s.Layer = "crash" })
	l.submit("lost", func(s *api.LabTaskSpec) { s.Layer, s.Deadline = "lost", "3s" })
	l.submit("memory", nil)
	l.submit("cut", nil)
	l.submit("invalid", func(s *api.LabTaskSpec) {
		s.Container.Volumes = []api.Volume{{Name: "a", MountPath: "/data", Claim: "imagenet"}, {Name: "b", MountPath: "/data", Claim: "coco"}}
	})

	if task := l.awaitTask("crash", in("Failed", api.Failed, "True ProgramFailed")); task.Status.Reason != "exit code 1" || task.Status.Times.Released == nil {
		t.Errorf("it is %+v", task.Status)
	}
	if task := l.awaitTask("invalid", in("Failed", api.Failed, "True Invalid")); !strings.Contains(task.Status.Reason, "mountPath") {
		t.Errorf("it is %+v", task.Status)
	}
	if task := l.awaitTask("lost", in("Starting", api.Scheduled, "True ImagePullBackOff")); !strings.Contains(task.Status.Reason, "Back-off pulling image") {
		t.Errorf("it is %+v", task.Status)
	}
	if task := l.awaitTask("lost", in("Failed", api.Failed, "True DeadlineExceeded")); task.Status.Reason != "it took longer than its deadline of 3s" || task.Status.Times.Started != nil {
		t.Errorf("it is %+v", task.Status)
	}
	l.awaitTask("memory", in("Running", api.Running, "True Running"))
	l.end("memory", 137, "OOMKilled", "epoch 3\nloss 0.1\n")
	if task := l.awaitTask("memory", in("Failed", api.Failed, "True OOMKilled")); task.Status.Reason != "exit code 137 (OOMKilled): loss 0.1" {
		t.Errorf("it is %+v", task.Status)
	}
	if r := l.recorded("memory"); r.State != deploy.TaskFailed || r.Reason != "exit code 137 (OOMKilled): loss 0.1" || r.Finished.IsZero() {
		t.Errorf("the record is %+v", r)
	}

	// One whose name is taken waits for it.
	others := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: "taken"}}
	others.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "theirs"}}}
	l.check(l.client.Create(t.Context(), others))
	l.submit("taken", nil)
	if task := l.awaitTask("taken", in("Queued", api.Queued, "True NameTaken")); !strings.HasPrefix(task.Status.Reason, "a Job of this name is not of this task") {
		t.Errorf("it is %+v", task.Status)
	}
	l.check(l.client.Delete(t.Context(), others, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	l.awaitTask("taken", in("Running", api.Running, "True Running"))

	// Somebody deletes a Job. It is not made again.
	l.awaitTask("cut", in("Running", api.Running, "True Running"))
	for _, j := range l.jobs() {
		if j.Name == "cut" {
			l.check(l.client.Delete(t.Context(), &j, client.PropagationPolicy(metav1.DeletePropagationBackground)))
		}
	}
	l.awaitTask("cut", in("Failed", api.Failed, "True JobDeleted"))
}

// TestTaskIsDeleted: the record outlives it, and has the end of the program.
func TestTaskIsDeleted(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Unready.Digest(1), "gpt": clustertest.Runs.Digest(2)})
	stop := l.operate()
	l.submit("short", func(s *api.LabTaskSpec) { s.Layer, s.TTL = "gpt", "1s" })
	running := l.submit("long", nil)
	unseen := l.submit("unseen", nil)
	l.awaitTask("long", in("Running", api.Running, "True Running"))
	l.awaitTask("unseen", in("Running", api.Running, "True Running"))
	l.check(l.client.Delete(t.Context(), running))
	l.await("the record of what was deleted", func(context.Context) error {
		if r := l.recorded("long"); r.State != deploy.TaskDeleted || r.Finished.IsZero() || r.Finished.Before(r.Started) {
			return fmt.Errorf("it is %s %s of %+v", r.State, r.Reason, r.TaskTimes)
		}
		return nil
	})
	l.await("what has expired to go", func(ctx context.Context) error {
		if err := l.client.Get(ctx, types.NamespacedName{Namespace: l.ns, Name: "short"}, &api.LabTask{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
	if r := l.recorded("short"); r.State != deploy.TaskSucceeded {
		t.Errorf("the record is %+v", r)
	}
	stop()
	l.check(l.client.Delete(t.Context(), unseen))
	l.operate()
	l.await("the record of what was deleted unseen", func(context.Context) error {
		if r := l.recorded("unseen"); r.State != deploy.TaskDeleted {
			return fmt.Errorf("it is %s", r.State)
		}
		return nil
	})
}

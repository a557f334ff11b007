// Package hook has bare repositories tell the agent of pushes, by a post-receive
// hook, and the people who push of the runs that their push gives.
//
// It installs the hook in front of one that is there, takes it out again, and
// says what the hook sends. It changes no refs and no configuration. A push never
// fails by it, nor waits long.
package hook

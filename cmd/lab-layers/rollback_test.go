package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/deploy"
)

func TestEnvironmentsNamed(t *testing.T) {
	for names, want := range map[string]string{
		"vision/lab-ada":                             "lab-ada",
		"vision/lab-*":                               "lab-ada lab-kurt",
		"vision/lab-kurt vision/lab-ada":             "lab-ada lab-kurt",
		"vision/lab-ada vision/lab-* vision/lab-ada": "lab-ada lab-kurt",
		"vision/unet vision/lab":                     "",
	} {
		var listed []deploy.Listed
		for _, name := range []string{"lab-ada", "lab-kurt", "unet"} {
			listed = append(listed, deploy.Listed{Standing: deploy.Standing{Environment: deploy.Environment{Namespace: "vision", Kind: deploy.Deployment, Name: name}}})
		}
		found, err := listedAs(listed, strings.Fields(names))
		var got []string
		for _, e := range found {
			got = append(got, e.Environment.Name)
		}
		if strings.Join(got, " ") != want || (err != nil) != (want == "") || err != nil && !errors.As(err, new(inputError)) {
			t.Errorf("%s: %q, %v", names, got, err)
		}
	}
}

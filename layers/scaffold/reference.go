package scaffold

import (
	"strings"

	distribution "github.com/distribution/reference"
)

// reference is an image reference taken apart, as far as it can be.
type reference struct {
	prefix string // registry and owner: all before the last part of the name
	name   string // the last part
	tag    string
	digest string
}

// parseReference takes apart what a FROM line expands to, which need not be a
// valid reference.
func parseReference(s string) reference {
	var ref reference
	s, ref.digest, _ = strings.Cut(s, "@")
	s = strings.Trim(s, "<>")
	if i := strings.LastIndex(s, ":"); i > strings.LastIndex(s, "/") {
		s, ref.tag = s[:i], s[i+1:]
	}
	ref.prefix, ref.name = "", s
	if i := strings.LastIndex(s, "/"); i >= 0 {
		ref.prefix, ref.name = strings.Trim(s[:i], "/"), s[i+1:]
	}
	for _, host := range []string{"docker.io/library", "index.docker.io/library", "docker.io", "index.docker.io"} {
		if ref.prefix == host {
			ref.prefix = ""
		} else if rest, ok := strings.CutPrefix(ref.prefix, host+"/"); ok {
			ref.prefix = rest
		}
	}
	return ref
}

// validReference reports whether BuildKit takes it for an image.
func validReference(s string) bool {
	_, err := distribution.ParseNormalizedNamed(s)
	return err == nil
}

// publishers are owners whose images many repositories stand on: a layer of
// the same name is not yet the image.
var publishers = words(`nvidia pytorch tensorflow jupyter jupyterhub rocker
	continuumio conda condaforge mambaorg huggingface rapidsai kaggle bitnami
	rstudio posit kubeflownotebookswg dask ray rayproject
	apache intel amd rocm paddlepaddle mxnet ultralytics openmmlab
	microsoft azureml linuxserver gitpod codercom anaconda quansight lambdal
	deepspeed vllm ollama distroless google cloudera sclorg centos ubi8 ubi9 fedora
	rockylinux opensuse oraclelinux library`)

// official are the names of Docker's official images that labs stand on.
var official = words(`alpine almalinux amazonlinux archlinux bash
	buildpack-deps busybox clojure centos debian docker eclipse-temurin elixir
	erlang fedora gcc golang gradle haskell httpd julia mariadb maven memcached
	mongo mysql neo4j nginx node openjdk oraclelinux perl php postgres pypy
	python r-base rabbitmq redis registry rockylinux ruby rust scratch spark
	swift tomcat traefik ubuntu wordpress miniconda3 anaconda3 micromamba`)

func words(s string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(s) {
		set[word] = true
	}
	return set
}

// published reports whether a prefix belongs to a well-known publisher.
func published(prefix string) bool {
	for _, part := range strings.Split(prefix, "/") {
		if publishers[part] {
			return true
		}
	}
	return strings.HasPrefix(prefix, "mcr.microsoft.com") || strings.HasPrefix(prefix, "nvcr.io") ||
		strings.HasPrefix(prefix, "registry.access.redhat.com") || strings.HasPrefix(prefix, "public.ecr.aws/docker")
}

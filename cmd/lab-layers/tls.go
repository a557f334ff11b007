package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/pipeline/buildkit"
)

// tlsFlags say how BuildKits at tcp addresses are spoken to.
type tlsFlags buildkit.TLS

func (f *tlsFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.CA, "buildkit-ca", "", "file with the certificates that those of tcp BuildKits are signed by; with none of these flags they are spoken to without TLS")
	flags.StringVar(&f.Cert, "buildkit-cert", "", "file with the certificate that is shown to tcp BuildKits")
	flags.StringVar(&f.Key, "buildkit-key", "", "file with its key")
	flags.StringVar(&f.ServerName, "buildkit-server-name", "", "name in the certificates of tcp BuildKits, if it is not the host in their addresses")
}

// check returns how to speak to the BuildKits; nil is without TLS.
func (f *tlsFlags) check(addresses []string) (*buildkit.TLS, error) {
	tcp := slices.ContainsFunc(addresses, func(address string) bool { return strings.HasPrefix(address, "tcp://") })
	switch {
	case *f == tlsFlags{}:
		return nil, nil
	case (f.Cert == "") != (f.Key == ""):
		return nil, inputf("--buildkit-cert and --buildkit-key belong together: name both files, or none")
	case !tcp:
		return nil, inputf("the --buildkit-ca, --buildkit-cert, --buildkit-key and --buildkit-server-name are for a --buildkit tcp://HOST:PORT, and there is none")
	}
	return (*buildkit.TLS)(f), nil
}

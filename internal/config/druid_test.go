package config_test

import (
	"testing"

	"github.com/canald/canald/internal/config"
)

// A key pair of 512 bits as Druid's tool makes them, and what its private half
// made of two passwords: a usual one, and the longest that one block can hold.
const (
	druidKey    = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANcQn8vAAOxEKwVMRSl8x13zjG9NC18SNW3NB/tgIYYpIZw7/dRgqXdiIvT999oEq06V344+e/gBeI5WvBlLvJECAwEAAQ=="
	druidCipher = "fRONg4RADNdqAUZkGEnSVFj8PGwEKGxBzoajVMLC2FdpRdp+rtzjQosOyyulnO68TabeHLbBMyKeLcBVsovu7g=="
	druidLong   = "bJyqSFeB5+KOKtZgG94cnbxdUr0+atIoQnfI4caNcgqrDDtp6jmfOgiubQRMkyqMGVO9lrI1ux0o1bwuZz/TsA=="
)

func TestDruidPassword(t *testing.T) {
	for _, c := range []struct{ name, enable, cipher, want string }{
		{"encrypted", "true", druidCipher, "päss word"},
		{"longest", "yes", druidLong, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
		{"switched off", "false", druidCipher, druidCipher},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := home(t, wiring, "canal.instance.master.address=db:1\ncanal.instance.enableDruid="+c.enable+
				"\ncanal.instance.pwdPublicKey="+druidKey+"\ncanal.instance.dbPassword="+c.cipher)
			in, err := load(t, config.Options{Home: dir}).Instance("d")
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "password", in.Password, c.want)
		})
	}
}

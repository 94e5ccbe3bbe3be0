//! The host names to which the HTTP server answers. They protect a server on this machine from web pages (DNS rebinding): a page can make
//! its own host name resolve to this machine, and then read answers as if they were from its own site. The browser sends that name. A
//! server that is not at a loopback address checks names only if some are given.

use std::net::IpAddr;

/// The address of a server, and the host names of `--http-host` or the host's file.
pub(super) struct Names {
    /// The address at which the server listens. It may be unspecified, such as `0.0.0.0`.
    address: IpAddr,
    /// The host names, in lower case. May be empty, and have the same twice.
    given: Vec<String>,
}

impl Names {
    /// `given` are names or addresses without a port or brackets, in upper or lower case. Nothing is looked up.
    pub(super) fn new(address: IpAddr, given: &[String]) -> Self {
        Self { address, given: given.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request with these values of the headers `Host` and `Origin` is answered. A server at a loopback address, or one with host
    /// names, answers only a request with exactly one `Host`, which is a name of the server, and whose `Origin`s, if a browser has added
    /// some, are names of the server too, with any scheme. The origin `null` is not. Any other server answers all.
    pub(super) fn allow<'a>(
        &self,
        mut hosts: impl Iterator<Item = &'a [u8]>,
        mut origins: impl Iterator<Item = &'a [u8]>,
    ) -> bool {
        // Only its user knows by which names other machines reach it.
        if self.given.is_empty() && !is_loopback(self.address) {
            return true;
        }
        let text = std::str::from_utf8;
        let is_host = |host: &[u8]| text(host).is_ok_and(|host| self.is_ours(host));
        // `null` is the origin of a page that hides where it is from.
        let is_origin = |origin: &[u8]| {
            text(origin).ok().and_then(|origin| origin.split_once("://")).is_some_and(|(_, host)| self.is_ours(host))
        };
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        is_host(host) && origins.all(is_origin)
    }

    /// The text of the answer to a request that is not allowed, one line with its line end. It names the server's address and all given
    /// names.
    pub(super) fn refusal(&self) -> String {
        let address = self.address.to_string();
        let names: Vec<_> = [address.as_str()].into_iter().chain(self.given.iter().map(String::as_str)).collect();
        format!(
            "only requests to localhost, a loopback address, {} are answered, and not those to another name (Host) or from \
             another site (Origin): `ixt run --http-host NAME` allows one more\n",
            names.join(", ")
        )
    }

    /// Whether `HOST` or `HOST:PORT` is a name of this server: `localhost`, a loopback address, its own address, or a given name. Any port
    /// will do, and upper or lower case. An IPv6 address has to be in brackets. A server at an unspecified address has every address.
    fn is_ours(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, port)) if is_port(port) => address,
            Some(_) => return false,
            None => match host.split_once(':') {
                Some((name, _)) if is_port(&host[name.len()..]) => name,
                Some(_) => return false,
                None => host,
            },
        };
        let name = name.to_ascii_lowercase();
        // A server at an unspecified address, such as 0.0.0.0, is at all addresses of this machine.
        let is_own = |address: IpAddr| address == self.address || is_loopback(address) || self.address.is_unspecified();
        let is_address = name.parse().is_ok_and(is_own);
        name == "localhost" || is_address || self.given.contains(&name)
    }
}

/// Whether a text is empty, or `:` and a number up to 65535. A `:` alone is not.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Whether an address is one of loopback, also as IPv4 in IPv6.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(address: &str, given: &[&str], hosts: &[&str], origins: &[&str]) -> bool {
        let given: Vec<_> = given.iter().map(|name| (*name).to_owned()).collect();
        let names = Names::new(address.parse().unwrap(), &given);
        names.allow(hosts.iter().map(|host| host.as_bytes()), origins.iter().map(|origin| origin.as_bytes()))
    }

    #[test]
    fn at_loopback_only_names_of_this_machine_are_answered() {
        for host in ["localhost", "LOCALHOST:9100", "127.0.0.1", "127.0.0.1:9100", "[::1]:9100", "[::1]", "127.9.9.9:1"]
        {
            assert!(allow("127.0.0.1", &[], &[host], &[]), "{host}");
            assert!(allow("::1", &[], &[host], &[]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9100",
            "localhost.evil.example",
            "10.0.0.1",
            "localhost:x",
            "[::1",
            "",
            "::1",
        ] {
            assert!(!allow("127.0.0.1", &[], &[host], &[]), "{host}");
        }
        assert!(!allow("127.0.0.1", &[], &[], &[]), "one that does not say by which name it asks");
        assert!(!allow("127.0.0.1", &[], &["localhost", "evil.example"], &[]));
    }

    #[test]
    fn a_page_of_another_site_is_not_answered() {
        assert!(allow("127.0.0.1", &[], &["localhost"], &["http://localhost:3000"]));
        assert!(allow("127.0.0.1", &["grafana.example"], &["localhost"], &["https://grafana.example"]));
        for origin in ["http://evil.example", "null", "localhost", "file://"] {
            assert!(!allow("127.0.0.1", &[], &["localhost"], &[origin]), "{origin}");
        }
    }

    #[test]
    fn elsewhere_nothing_is_checked_unless_names_are_given() {
        assert!(allow("0.0.0.0", &[], &["metrics.example"], &["http://evil.example"]));
        assert!(allow("0.0.0.0", &[], &[], &[]));
        let given = ["Metrics.example"];
        assert!(allow("10.0.0.7", &given, &["metrics.example:9100"], &[]));
        assert!(allow("10.0.0.7", &given, &["10.0.0.7:9100"], &[]), "nor the address itself");
        assert!(!allow("10.0.0.7", &given, &["evil.example"], &[]));
        assert!(allow("127.0.0.1", &given, &["metrics.EXAMPLE"], &[]));
        assert!(allow("0.0.0.0", &given, &["10.0.0.7:9100"], &[]), "such as a pod's, by which Kubernetes asks");
        assert!(!allow("0.0.0.0", &given, &["evil.example"], &[]));
    }
}

//! By which names a server of this machine may be asked. A page in a browser can have a name of its own point at this machine, and
//! then reads what is here as if it were its own (DNS rebinding): the browser says by which name it asks.

use std::net::IpAddr;

/// The names by which a server may be asked.
pub(crate) struct Names {
    address: IpAddr,
    /// Those that were given, in lower case.
    given: Vec<String>,
}

impl Names {
    /// Those of a server at this address, and these.
    pub(crate) fn new(address: IpAddr, given: &[String]) -> Self {
        Self { address, given: given.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request with these headers is answered. `Host` has to be there once, `Origin` is what browsers add.
    pub(crate) fn allow<'a>(
        &self,
        mut hosts: impl Iterator<Item = &'a [u8]>,
        mut origins: impl Iterator<Item = &'a [u8]>,
    ) -> bool {
        // Who listens for others knows best by which names they come, and has to say so.
        if self.given.is_empty() && !is_loopback(self.address) {
            return true;
        }
        let text = std::str::from_utf8;
        let is_host = |host: &[u8]| text(host).is_ok_and(|host| self.is_ours(host));
        // `null` is that of a page which does not say where it comes from.
        let is_origin = |origin: &[u8]| {
            text(origin).ok().and_then(|origin| origin.split_once("://")).is_some_and(|(_, host)| self.is_ours(host))
        };
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        is_host(host) && origins.all(is_origin)
    }

    /// Why one is not answered.
    pub(crate) fn refusal(&self) -> String {
        let address = self.address.to_string();
        let names: Vec<_> = [address.as_str()].into_iter().chain(self.given.iter().map(String::as_str)).collect();
        format!(
            "only requests to localhost, a loopback address, {} are answered, and not those to another name (Host) or from \
             another site (Origin): `ixt run --http-host NAME` allows one more\n",
            names.join(", ")
        )
    }

    /// `HOST` or `HOST:PORT`; an IPv6 address is in brackets.
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
        // Of a server at all addresses of this machine, each is its own.
        let is_own = |address: IpAddr| address == self.address || is_loopback(address) || self.address.is_unspecified();
        let is_address = name.parse().is_ok_and(is_own);
        name == "localhost" || is_address || self.given.contains(&name)
    }
}

/// Nothing, or `:` and a number.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
}

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

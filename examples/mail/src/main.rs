//! A module that other modules call, such as `examples/notifications`. It sends nothing: it stores each mail among its keys and values,
//! under `outbox/`, where other modules can't read it.

use std::process::ExitCode;
use std::time::SystemTime;

use ixt_sdk::log;
use ixt_sdk::prelude::*;

ixt_sdk::include_module!();

/// The mails are with the host, so that there is nothing to keep here.
struct Outbox;

impl Handler for Outbox {
    async fn init(_config: Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self)
    }

    /// Stores the mail, and replies with its id, the time in nanoseconds. `ABORTED` if there is a mail with this id.
    async fn mail_deliver(&self, mail: MailDeliverRequest, ctx: Context) -> Result<MailDeliverResponse> {
        let id = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos().to_string();
        // Of two mails with the same key, the second one fails, and does not overwrite the first.
        ctx.kv().set_json(&format!("outbox/{id}"), &mail).expected_revision(0).await?;
        log(format_args!("a mail to {} is on its way", mail.to));
        Ok(MailDeliverResponse { id })
    }
}

fn main() -> ExitCode {
    run::<Outbox>()
}

#[cfg(test)]
mod tests {
    use ixt_sdk::testing::{self, Host};

    use super::*;

    #[test]
    fn a_mail_is_in_the_outbox() {
        testing::run(async {
            let module = Host::new().start(module::<Outbox>(), Config::default()).await?;
            let mail = MailDeliverRequest { to: "ada@example.org".to_owned(), text: "Hello!".to_owned() };
            let id = module.call(services::MAIL_DELIVER, &mail).await?.id;
            let kept = module.kv(&format!("outbox/{id}")).expect("it is kept");
            assert_eq!(serde_json::from_slice::<MailDeliverRequest>(&kept)?, mail);
            module.shutdown().await
        });
    }
}

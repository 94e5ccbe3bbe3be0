//! A module that uses its host's services: it calls another module (`examples/mail`), stores values, publishes events and logs. Its tests
//! run without a host.

use std::process::ExitCode;
use std::time::Duration;

use ixt_sdk::prelude::*;
use ixt_sdk::{Priority, code};

ixt_sdk::include_module!();

/// How long a user's count is kept after the last message.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Notifications {
    config: Config,
}

impl Notifications {
    /// Counts one more message to a user. Fails with `QUOTA_EXCEEDED`, and counts nothing, if `per_user` messages were counted. Tries again
    /// until no other message is counted at the same time.
    async fn count_one(&self, user_id: i64, ctx: &Context) -> Result<()> {
        let key = format!("sent/{user_id}");
        loop {
            let entry = ctx.kv().entry(&key).await?;
            let (count, revision) = match &entry {
                Some(entry) => (entry.to_json::<i64>()?, entry.revision),
                None => (0, 0),
            };
            if count >= self.config.per_user {
                return Err(NotificationsSendError::QuotaExceeded.into());
            }
            let counted = ctx.kv().set_json(&key, &(count + 1)).ttl(DAY).expected_revision(revision).await;
            match counted {
                // Another message to the same user was counted in the meantime.
                Err(error) if error.code() == code::ABORTED => {}
                counted => return counted.map(drop),
            }
        }
    }
}

impl Handler for Notifications {
    async fn init(config: Config, _runtime: Runtime) -> Result<Self> {
        Ok(Self { config })
    }

    /// Counts the message, mails it, publishes `notifications.sent`, and replies with the mail's id. A message whose mail fails stays
    /// counted.
    async fn notifications_send(
        &self,
        request: NotificationsSendRequest,
        ctx: Context,
    ) -> Result<NotificationsSendResponse> {
        let NotificationsSendRequest { user_id, message } = request;
        self.count_one(user_id, &ctx).await?;
        let mail = client::mail::MailDeliverRequest { to: format!("user-{user_id}@example.org"), text: message };
        let delivered = client::mail_deliver(&ctx, &mail).priority(Priority::High).await?;
        tracing::info!(user_id, receipt = delivered.id, "sent");
        let sent = NotificationsSentPayload { user_id, receipt: delivered.id.clone() };
        publish::notifications_sent(&ctx, &sent).await?;
        Ok(NotificationsSendResponse { receipt: delivered.id })
    }

    /// Replies with the count of a user: 0 if no message was counted within a day.
    async fn notifications_count(
        &self,
        request: NotificationsCountRequest,
        ctx: Context,
    ) -> Result<NotificationsCountResponse> {
        let count = ctx.kv().get_json(&format!("sent/{}", request.user_id)).await?;
        Ok(NotificationsCountResponse { count: count.unwrap_or_default() })
    }
}

fn main() -> ExitCode {
    run::<Notifications>()
}

#[cfg(test)]
mod tests {
    use client::mail::{MailDeliverRequest, MailDeliverResponse};
    use ixt_sdk::testing::{self, Host};

    use super::*;

    fn to(user_id: i64) -> NotificationsSendRequest {
        NotificationsSendRequest { user_id, message: "Hello!".to_owned() }
    }

    async fn deliver(mail: MailDeliverRequest) -> Result<MailDeliverResponse> {
        Ok(MailDeliverResponse { id: format!("receipt for {}", mail.to) })
    }

    #[test]
    fn a_message_is_delivered_counted_published_and_logged() {
        testing::run(async {
            let host = Host::new().stub(client::MAIL_DELIVER, deliver);
            let module = host.start(module::<Notifications>(), Config::default()).await?;
            let receipt = module.call(services::NOTIFICATIONS_SEND, &to(7)).await?.receipt;
            assert_eq!(receipt, "receipt for user-7@example.org");
            assert_eq!(
                module.published(publish::NOTIFICATIONS_SENT)?,
                [NotificationsSentPayload { user_id: 7, receipt }]
            );
            let request = NotificationsCountRequest { user_id: 7 };
            assert_eq!(module.call(services::NOTIFICATIONS_COUNT, &request).await?.count, 1);
            assert!(module.logs().iter().any(|log| log.message == "sent" && log.fields["user_id"] == 7));
            module.shutdown().await
        });
    }

    #[test]
    fn a_user_is_not_sent_more_than_the_quota_of_a_day() {
        testing::run(async {
            let host = Host::new().stub(client::MAIL_DELIVER, deliver);
            let module = host.start(module::<Notifications>(), Config { per_user: 1 }).await?;
            module.call(services::NOTIFICATIONS_SEND, &to(7)).await?;
            let error = module.call(services::NOTIFICATIONS_SEND, &to(7)).await.unwrap_err();
            assert_eq!(NotificationsSendError::of(&error), Some(NotificationsSendError::QuotaExceeded));
            module.call(services::NOTIFICATIONS_SEND, &to(8)).await?;
            testing::advance(DAY).await;
            module.call(services::NOTIFICATIONS_SEND, &to(7)).await?;
            module.shutdown().await
        });
    }

    #[test]
    fn mail_that_takes_too_long_is_an_error() {
        testing::run(async {
            let host = Host::new().stub(client::MAIL_DELIVER, async |_| std::future::pending().await);
            let module = host.start(module::<Notifications>(), Config::default()).await?;
            let error = module.call(services::NOTIFICATIONS_SEND, &to(7)).await.unwrap_err();
            assert_eq!(error.to_string(), "DEADLINE_EXCEEDED: the 5000 ms of the call of `mail.deliver` are over");
            module.shutdown().await
        });
    }
}

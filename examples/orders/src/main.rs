//! A module with types for its configuration, requests and responses. It takes orders, and stores them in the SQLite file that its
//! configuration names (`store`).

mod store;

use std::process::ExitCode;

use ixt_sdk::prelude::*;
use store::Store;

ixt_sdk::include_module!();

/// What all requests share.
struct Orders {
    config: Config,
    store: Store,
}

impl Handler for Orders {
    /// Opens the store. The module does not start if that fails.
    async fn init(config: Config, _runtime: Runtime) -> Result<Self> {
        let store = Store::open(&config.database_url)?;
        Ok(Self { config, store })
    }

    /// Stores the order, and replies with it and its new id. `INVALID_INPUT` if the quantity is below 1 or over `max_quantity`.
    async fn orders_place(&self, request: OrdersPlaceRequest, _ctx: Context) -> Result<Order> {
        if request.quantity < 1 {
            return Err(Error::invalid_input("quantity must be at least 1").detail("quantity", request.quantity));
        }
        if request.quantity > self.config.max_quantity {
            return Err(Error::invalid_input("quantity is over the limit").detail("max", self.config.max_quantity));
        }
        Ok(self.store.insert(request)?)
    }

    /// Replies with the order with this id. `NOT_FOUND` if there is none.
    async fn orders_get(&self, request: OrdersGetRequest, _ctx: Context) -> Result<Order> {
        let order = self.store.find(request.id)?;
        order.ok_or_else(|| Error::not_found(format!("there is no order {}", request.id)).detail("id", request.id))
    }
}

fn main() -> ExitCode {
    run::<Orders>()
}

#[cfg(test)]
mod tests {
    use ixt_sdk::code;
    use ixt_sdk::testing::{self, Host, Module};

    use super::*;

    async fn start() -> Result<Module> {
        let config = Config { database_url: "sqlite://:memory:".to_owned(), max_quantity: 3 };
        Host::new().start(module::<Orders>(), config).await
    }

    fn some(quantity: i64) -> OrdersPlaceRequest {
        OrdersPlaceRequest { sku: "A-1".to_owned(), quantity, note: None }
    }

    #[test]
    fn an_order_that_is_placed_is_found() {
        testing::run(async {
            let module = start().await?;
            let placed = module.call(services::ORDERS_PLACE, &some(3)).await?;
            let found = module.call(services::ORDERS_GET, &OrdersGetRequest { id: placed.id }).await?;
            assert_eq!(found, placed);
            let missing = module.call(services::ORDERS_GET, &OrdersGetRequest { id: 77 }).await;
            assert_eq!(missing.unwrap_err().code(), code::NOT_FOUND);
            module.shutdown().await
        });
    }

    #[test]
    fn an_order_over_the_limit_is_refused_with_the_limit() {
        testing::run(async {
            let module = start().await?;
            for quantity in [0, 4] {
                let error = module.call(services::ORDERS_PLACE, &some(quantity)).await.unwrap_err();
                assert_eq!(error.code(), code::INVALID_INPUT);
            }
            module.shutdown().await
        });
    }
}

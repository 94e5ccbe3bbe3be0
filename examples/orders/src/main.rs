//! A module that is typed from end to end: takes orders, and keeps them in the SQLite file that its configuration names.

mod store;

use std::process::ExitCode;

use ixt_sdk::prelude::*;
use store::Store;

ixt_sdk::include_module!();

struct Orders {
    config: Config,
    store: Store,
}

impl Handler for Orders {
    async fn init(config: Config, _runtime: Runtime) -> Result<Self> {
        let store = Store::open(&config.database_url)?;
        Ok(Self { config, store })
    }

    async fn orders_place(&self, request: OrdersPlaceRequest, _ctx: Context) -> Result<Order> {
        if request.quantity < 1 {
            return Err(Error::invalid_input("quantity must be at least 1").detail("quantity", request.quantity));
        }
        if request.quantity > self.config.max_quantity {
            return Err(Error::invalid_input("quantity is over the limit").detail("max", self.config.max_quantity));
        }
        Ok(self.store.insert(request)?)
    }

    async fn orders_get(&self, request: OrdersGetRequest, _ctx: Context) -> Result<Order> {
        let order = self.store.find(request.id)?;
        order.ok_or_else(|| Error::not_found(format!("there is no order {}", request.id)).detail("id", request.id))
    }
}

fn main() -> ExitCode {
    run::<Orders>()
}

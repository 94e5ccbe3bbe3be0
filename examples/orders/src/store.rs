//! The orders in SQLite. Each method blocks its thread for the time of one statement, which is short enough for an `async` handler.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ixt_sdk::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{Order, OrdersPlaceRequest};

/// A SQLite file with the table `orders`.
pub(crate) struct Store {
    /// One statement at a time uses it.
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the file that a URL of the form `sqlite://path` names, and creates it and the table if they do not exist. A relative path
    /// starts at the process's working directory, which is the module's. `INVALID_INPUT` if the URL has another form, `INTERNAL` if the
    /// file can't be opened.
    pub(crate) fn open(database_url: &str) -> Result<Self> {
        // The error doesn't show the URL: one of another form may hold a password.
        let path = database_url
            .strip_prefix("sqlite://")
            .filter(|path| !path.is_empty())
            .ok_or_else(|| Error::invalid_input("database_url must be sqlite://PATH"))?;
        let connection = Connection::open(path)
            .map_err(|error| Error::internal(format!("can't open the database {path}: {error}")))?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS orders (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                sku TEXT NOT NULL,
                quantity INTEGER NOT NULL,
                note TEXT
            )",
        )?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Stores an order under a new id, which no order had before, and returns it.
    pub(crate) fn insert(&self, request: OrdersPlaceRequest) -> rusqlite::Result<Order> {
        let OrdersPlaceRequest { sku, quantity, note } = request;
        let connection = self.connection();
        connection
            .execute("INSERT INTO orders (sku, quantity, note) VALUES (?1, ?2, ?3)", params![sku, quantity, note])?;
        Ok(Order { id: connection.last_insert_rowid(), sku, quantity, note })
    }

    /// The order with this id; `None` if there is none.
    pub(crate) fn find(&self, id: i64) -> rusqlite::Result<Option<Order>> {
        self.connection()
            .query_row("SELECT id, sku, quantity, note FROM orders WHERE id = ?1", [id], |row| {
                Ok(Order { id: row.get(0)?, sku: row.get(1)?, quantity: row.get(2)?, note: row.get(3)? })
            })
            .optional()
    }

    /// Waits until no other statement uses the connection.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic between two statements leaves no statement half done.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

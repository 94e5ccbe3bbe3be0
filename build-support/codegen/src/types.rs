//! The code of all types in the list of `generated_types`: structs, enums, unions, newtypes and the errors of services.
//! The code of each kind is in a file of its own: `record`, `text_enum`, `union`, `newtype` and `service_errors`.

use proc_macro2::Ident;

use crate::generated_types::{GeneratedType, GeneratedTypes};
use crate::newtype::newtype;
use crate::options::CheckedOptions;
use crate::record::record;
use crate::rust_code::RustCode;
use crate::service_errors::service_errors;
use crate::text_enum::text_enum;
use crate::type_traits::TypeTraits;
use crate::union::union;

/// The code of the types, in their order, with the author's attributes. In place of a type that the author has replaced
/// is what [`CheckedOptions::replacement`] returns. Names that collide have to be excluded before.
pub(crate) fn generate(types: &GeneratedTypes<'_>, traits: &TypeTraits<'_>, options: &CheckedOptions) -> RustCode {
    let mut code = RustCode::default();
    for (ident, ty, _) in types.iter() {
        code.extend(options.replacement(ident).unwrap_or_else(|| {
            let mut code = type_code(ident, ty, traits);
            code.prepend(options.attributes(ident));
            code
        }));
    }
    code
}

/// The code of one type, without the author's attributes.
fn type_code(ident: &Ident, ty: &GeneratedType<'_>, traits: &TypeTraits<'_>) -> RustCode {
    match ty {
        GeneratedType::Record { docs, fields, owner } => record(ident, docs, fields, *owner, traits),
        GeneratedType::Enum { docs, values, open } => text_enum(ident, docs, values, *open),
        GeneratedType::Union { docs, cases, open, owner } => union(ident, docs, cases, *open, *owner, traits),
        GeneratedType::Newtype { docs, ty, name } => newtype(ident, docs, ty, name, traits),
        GeneratedType::Errors { service } => service_errors(ident, service),
    }
}

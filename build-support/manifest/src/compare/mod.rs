//! What a change of a manifest does to those who call the module, take its events and configure it. Each difference is
//! judged by a [`Rule`]: what goes into the module (requests, the configuration) has to take all that it took, what goes
//! out of it (responses, events) may give nothing that it didn't give.

use std::collections::BTreeSet;
use std::time::Duration;

use semver::Version;

use crate::model::{Bound, Deprecated, Field, Kind, Message, Name, Shape, Type, Variable};
use crate::{Diagnostic, Manifest, Report, Rule, Severity, Source, Span, Value};

/// Judges the change from `old` to `new`: a report of all differences that anybody may notice, breaking ones first.
#[must_use]
pub fn compare(old: (&Source, &Manifest), new: (&Source, &Manifest)) -> Report {
    let mut comparison = Comparison { old, new, changes: Vec::new(), compared: BTreeSet::new() };
    comparison.modules();
    comparison.services();
    comparison.events();
    comparison.requires();
    let config = Place { what: "the configuration".to_owned(), way: Way::Config, old: 0..0, new: 0..0 };
    comparison.fields(&old.1.config, &new.1.config, &config);
    comparison.process();
    comparison.version();
    Report::new(new.0, comparison.changes)
}

/// Which way values go, seen from the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    In,
    Out,
    /// In, and refused if there is something that is not known.
    Config,
}

/// Where two things stand that are compared.
#[derive(Clone)]
struct Place {
    what: String,
    way: Way,
    old: Span,
    new: Span,
}

struct Comparison<'m> {
    old: (&'m Source, &'m Manifest),
    new: (&'m Source, &'m Manifest),
    changes: Vec<Diagnostic>,
    /// Pairs of types that are compared already: types can hold themselves, and be used often.
    compared: BTreeSet<(&'m str, &'m str, Way)>,
}

/// The pairs and the leftovers of two lists, by name: removed, added, kept.
fn match_up<'m, T>(old: &'m [T], new: &'m [T], name: impl Fn(&T) -> &str) -> Matched<'m, T> {
    let find = |list: &'m [T], wanted: &str| list.iter().find(|item| name(item) == wanted);
    Matched {
        removed: old.iter().filter(|item| find(new, name(item)).is_none()).collect(),
        added: new.iter().filter(|item| find(old, name(item)).is_none()).collect(),
        kept: old.iter().filter_map(|item| Some((item, find(new, name(item))?))).collect(),
    }
}

struct Matched<'m, T> {
    removed: Vec<&'m T>,
    added: Vec<&'m T>,
    kept: Vec<(&'m T, &'m T)>,
}

impl<'m> Comparison<'m> {
    /// A change with what it was and what it is.
    fn change(&mut self, rule: Rule, message: String, old: (Span, &str), new: (Span, &str)) {
        let change = Diagnostic::change(rule, message).at(new.0, new.1);
        self.changes.push(change.related_in(self.old.0, old.0, old.1));
    }

    fn modules(&mut self) {
        let (old, new) = (&self.old.1.module, &self.new.1.module);
        if old.name.as_str() != new.name.as_str() {
            let message = format!("the module `{}` is called `{}` now", old.name, new.name);
            self.change(Rule::ModuleRenamed, message, (old.name.span(), "it was this"), (new.name.span(), ""));
        }
    }

    /// A breaking change asks for a version that is not taken for a compatible one.
    fn version(&mut self) {
        let (old, new) = (&self.old.1.module.version, &self.new.1.module.version);
        let breaks = self.changes.iter().any(|change| change.severity() == Severity::Breaking);
        let parsed = |version: &Name| Version::parse(version.as_str());
        if let (true, Ok(from), Ok(to)) = (breaks, parsed(old), parsed(new)) {
            // Cargo's reading of semantic versions: the first number that is not zero is the one that may break.
            let epoch = |version: &Version| match (version.major, version.minor) {
                (0, 0) => (0, 0, version.patch),
                (0, minor) => (0, minor, 0),
                (major, _) => (major, 0, 0),
            };
            if epoch(&to) <= epoch(&from) {
                let message = "some of these changes break others, and the version does not say so".to_owned();
                self.change(
                    Rule::VersionTooLow,
                    message,
                    (old.span(), "it was this"),
                    (new.span(), "expected a new major version"),
                );
            }
        }
    }

    fn requires(&mut self) {
        let (old, new) = (&self.old.1.requires, &self.new.1.requires);
        for (old, new, what) in [(&old.services, &new.services, "service"), (&old.events, &new.events, "event")] {
            for topic in match_up(old, new, Name::as_str).added {
                let message = format!("the module needs the {what} `{topic}` now");
                self.changes.push(Diagnostic::change(Rule::RequirementAdded, message).at(topic.span(), "new here"));
            }
        }
    }

    /// What those who run the module may have to know. The hash and the size of the program are left out: a new version has others.
    fn process(&mut self) {
        let (old, new) = (self.old.1, self.new.1);
        for (section, old_span, new_span, shown) in [
            ("[artifacts.process]", &old.process.span, &new.process.span, process_shown as fn(&Manifest) -> Shown),
            ("[limits]", &old.limits.span, &new.limits.span, limits_shown),
        ] {
            for ((key, was), (_, is)) in shown(old).into_iter().zip(shown(new)).filter(|((_, was), (_, is))| was != is)
            {
                let or_none = |shown: Option<String>| shown.unwrap_or("none".to_owned());
                let message = format!("`{key}` in {section} is {} now, and was {}", or_none(is), or_none(was));
                let at = |manifest: &Manifest, span: &Option<Span>| span.clone().unwrap_or(manifest.module.name.span());
                self.change(Rule::ProcessChanged, message, (at(old, old_span), "it was this"), (at(new, new_span), ""));
            }
        }
        let passed = match_up(&old.env.pass, &new.env.pass, Name::as_str);
        for name in passed.removed {
            let message = format!("the variable `{name}` of the host is not passed on any more");
            self.removed(Rule::ProcessChanged, message, name.span());
        }
        for name in passed.added {
            self.added(
                Rule::ProcessChanged,
                format!("the variable `{name}` of the host is passed on now"),
                name.span(),
            );
        }
        // Without their values: they are no secrets, or should be none.
        let set = match_up(&old.env.set, &new.env.set, |variable| variable.name.as_str());
        for Variable { name, .. } in set.removed {
            self.removed(Rule::ProcessChanged, format!("the variable `{name}` is not set any more"), name.span());
        }
        for Variable { name, .. } in set.added {
            self.added(Rule::ProcessChanged, format!("the variable `{name}` is set now"), name.span());
        }
        for (old, new) in set.kept.into_iter().filter(|(old, new)| old.value != new.value) {
            let message = format!("the variable `{}` is set to another value", new.name);
            self.change(Rule::ProcessChanged, message, (old.name.span(), "it was this"), (new.name.span(), ""));
        }
    }

    /// Something that is there in one of the manifests only, within what is there in both.
    fn removed(&mut self, rule: Rule, message: String, old: Span) {
        let module = self.new.1.module.name.span();
        self.change(rule, message, (old, "it was here"), (module, "not in this module any more"));
    }

    fn added(&mut self, rule: Rule, message: String, new: Span) {
        self.changes.push(Diagnostic::change(rule, message).at(new, "new here"));
    }

    fn services(&mut self) {
        let services = match_up(&self.old.1.services, &self.new.1.services, |service| service.topic.as_str());
        for service in services.removed {
            self.removed(
                Rule::ServiceRemoved,
                format!("the service `{}` is gone", service.topic),
                service.topic.span(),
            );
        }
        for service in services.added {
            self.added(Rule::ServiceAdded, format!("the service `{}` is new", service.topic), service.topic.span());
        }
        for (old, new) in services.kept {
            let topic = &new.topic;
            let at = (old.topic.span(), new.topic.span());
            self.deprecation(&format!("the service `{topic}`"), old.deprecated.as_ref(), new.deprecated.as_ref(), &at);
            self.promise(
                (old.idempotent, new.idempotent),
                &at,
                [
                    format!("the same request to `{topic}` twice does more now than once"),
                    format!("the same request to `{topic}` may be sent twice now"),
                ],
            );
            if old.ttl_ms != new.ttl_ms {
                let shown = |ttl: Option<u64>| ttl.map_or("no time of its own".to_owned(), |ttl| format!("{ttl} ms"));
                let message =
                    format!("a caller of `{topic}` waits {} by default, not {}", shown(new.ttl_ms), shown(old.ttl_ms));
                self.change(Rule::TtlChanged, message, (at.0.clone(), "it was this"), (at.1.clone(), ""));
            }
            let errors = match_up(&old.errors, &new.errors, |error| error.code.as_str());
            for error in errors.removed {
                let message = format!("`{topic}` does not answer `{}` any more", error.code);
                self.change(Rule::ErrorsChanged, message, (error.code.span(), "it was here"), (at.1.clone(), ""));
            }
            for error in errors.added {
                let message = format!("`{topic}` can answer `{}` now", error.code);
                self.change(
                    Rule::ErrorsChanged,
                    message,
                    (at.0.clone(), "it was this"),
                    (error.code.span(), "new here"),
                );
            }
            self.message(
                &format!("the request of `{topic}`"),
                Way::In,
                (old.request.as_ref(), new.request.as_ref()),
                &at,
            );
            self.message(
                &format!("the response of `{topic}`"),
                Way::Out,
                (old.response.as_ref(), new.response.as_ref()),
                &at,
            );
        }
    }

    fn events(&mut self) {
        let events = match_up(&self.old.1.events, &self.new.1.events, |event| event.topic.as_str());
        for event in events.removed {
            self.removed(Rule::EventRemoved, format!("the event `{}` is gone", event.topic), event.topic.span());
        }
        for event in events.added {
            self.added(Rule::EventAdded, format!("the event `{}` is new", event.topic), event.topic.span());
        }
        for (old, new) in events.kept {
            let topic = &new.topic;
            let at = (old.topic.span(), new.topic.span());
            self.deprecation(&format!("the event `{topic}`"), old.deprecated.as_ref(), new.deprecated.as_ref(), &at);
            self.promise(
                (old.durable, new.durable),
                &at,
                [
                    format!("`{topic}` is not kept any more for subscribers that are away"),
                    format!("`{topic}` is kept now for subscribers that are away"),
                ],
            );
            self.message(
                &format!("the payload of `{topic}`"),
                Way::Out,
                (old.payload.as_ref(), new.payload.as_ref()),
                &at,
            );
        }
    }

    fn deprecation(&mut self, what: &str, old: Option<&Deprecated>, new: Option<&Deprecated>, at: &(Span, Span)) {
        if let (None, Some(deprecated)) = (old, new) {
            let instead = deprecated.instead.as_ref().map(|instead| format!(": {instead}")).unwrap_or_default();
            let message = format!("{what} is deprecated{instead}");
            self.change(Rule::Deprecated, message, (at.0.clone(), "it was this"), (at.1.clone(), ""));
        }
    }

    fn promise(&mut self, (old, new): (bool, bool), at: &(Span, Span), [broken, made]: [String; 2]) {
        if old != new {
            let (rule, message) = if old { (Rule::PromiseBroken, broken) } else { (Rule::PromiseMade, made) };
            self.change(rule, message, (at.0.clone(), "it was this"), (at.1.clone(), ""));
        }
    }

    fn message(
        &mut self,
        what: &str,
        way: Way,
        messages: (Option<&'m Message>, Option<&'m Message>),
        at: &(Span, Span),
    ) {
        let place = Place { what: what.to_owned(), way, old: at.0.clone(), new: at.1.clone() };
        match messages {
            (None, None) => {}
            (Some(old), Some(new)) => match (old, new) {
                (Message::Named(old), Message::Named(new)) => self.named(old.as_str(), new.as_str(), &place),
                _ => match (fields_of(self.old.1, old), fields_of(self.new.1, new)) {
                    (Some(old), Some(new)) => self.fields(old, new, &place),
                    _ => self.type_changed(&place, "an object of another form"),
                },
            },
            // Bytes take anything; a declared response is one of the objects that a free-form one could be.
            (Some(_), None) if way == Way::In => self.relaxed(&place, "takes any bytes"),
            (None, Some(_)) if way == Way::Out && what.starts_with("the response") => {
                self.relaxed(&place, "is declared");
            }
            (old, _) => {
                let now = if old.is_some() { "not declared any more" } else { "declared now, and has to fit" };
                let message = format!("{what} is {now}");
                self.change(Rule::MessageDeclared, message, (place.old, "it was this"), (place.new, ""));
            }
        }
    }

    fn fields(&mut self, old: &'m [Field], new: &'m [Field], place: &Place) {
        let config = place.way == Way::Config;
        let noun = if config { "key" } else { "field" };
        let of = |name: &Name| format!("the {noun} `{name}` of {}", place.what);
        let fields = match_up(old, new, |field| field.name.as_str());
        for field in fields.removed {
            let rule = match place.way {
                Way::Config => Rule::ConfigKeyRemoved,
                Way::In => Rule::FieldIgnored,
                // Who took it had to do without before.
                Way::Out if field.ty.optional => Rule::FieldIgnored,
                Way::Out => Rule::FieldRemoved,
            };
            let message = format!("{} is gone", of(&field.name));
            let new = if place.new.is_empty() { self.new.1.module.name.span() } else { place.new.clone() };
            self.change(rule, message, (field.name.span(), "it was here"), (new, ""));
        }
        for field in fields.added {
            let rule = match place.way {
                Way::In | Way::Config if field.is_required() => Rule::FieldRequired,
                Way::Config => Rule::ConfigKeyAdded,
                Way::In | Way::Out => Rule::FieldAdded,
            };
            let required = if rule == Rule::FieldRequired { ", and required" } else { "" };
            self.added(rule, format!("{} is new{required}", of(&field.name)), field.name.span());
        }
        for (old, new) in fields.kept {
            self.field(old, new, &of(&new.name), place);
        }
    }

    fn field(&mut self, old: &'m Field, new: &'m Field, what: &str, place: &Place) {
        let at = (old.name.span(), new.name.span());
        self.deprecation(what, old.deprecated.as_ref(), new.deprecated.as_ref(), &at);
        if old.secret != new.secret {
            let message = format!("{what} is {} now", if new.secret { "secret" } else { "no secret" });
            self.change(Rule::SecretChanged, message, (at.0.clone(), "it was this"), (at.1.clone(), ""));
        }
        let (was, is) = (old.is_required(), new.is_required());
        // What goes out is there also when it has a default.
        let (was_there, is_there) = (!old.ty.optional, !new.ty.optional);
        let presence = match place.way {
            Way::In | Way::Config if was != is => Some(if is {
                (Rule::FieldRequired, "is required now")
            } else {
                (Rule::FieldRelaxed, "may be absent now")
            }),
            Way::Out if was_there != is_there => Some(if is_there {
                (Rule::FieldRelaxed, "is always there now")
            } else {
                (Rule::FieldOptional, "may be absent now")
            }),
            _ => None,
        };
        if let Some((rule, now)) = presence {
            self.change(rule, format!("{what} {now}"), (at.0.clone(), "it was this"), (at.1.clone(), ""));
        } else if old.default != new.default && place.way != Way::Out {
            let shown = |field: &Field| match &field.default {
                Some(_) if field.secret => "another".to_owned(),
                Some(default) => default.to_string(),
                None => "none".to_owned(),
            };
            let message = format!("the default of {what} is {} now, and was {}", shown(new), shown(old));
            let span = |field: &Field| field.default_span.clone().unwrap_or(field.name.span());
            self.change(Rule::DefaultChanged, message, (span(old), "it was this"), (span(new), ""));
        }
        let place = Place { what: what.to_owned(), way: place.way, old: old.ty.span.clone(), new: new.ty.span.clone() };
        self.types(&old.ty, &new.ty, &place);
    }

    fn types(&mut self, old: &'m Type, new: &'m Type, place: &Place) {
        match (&old.kind, &new.kind) {
            (Kind::Named(old), Kind::Named(new)) => return self.named(old, new, place),
            (Kind::List(old_item), Kind::List(new_item)) => self.element(old_item, new_item, "an item", place),
            (Kind::Map(old_value), Kind::Map(new_value)) => self.element(old_value, new_value, "a value", place),
            (Kind::Table(old), Kind::Table(new)) => self.fields(old, new, place),
            (Kind::Enum(old), Kind::Enum(new)) => {
                let old: Vec<_> = old.iter().map(|value| &value.name).collect();
                let new: Vec<_> = new.iter().map(|value| &value.name).collect();
                self.values("value", &old, &new, (false, false), place);
            }
            _ => match (plain(self.old.1, old), plain(self.new.1, new)) {
                (Some(old_type), Some(new_type)) if (old_type, new_type) != (old, new) => {
                    return self.types(old_type, new_type, place);
                }
                _ if old.kind.name() == new.kind.name() => {}
                _ => return self.kinds(old, new, place),
            },
        }
        self.bounds(old, new, place);
    }

    fn element(&mut self, old: &'m Type, new: &'m Type, part: &str, place: &Place) {
        let place = Place { what: format!("{part} of {}", place.what), ..place.clone() };
        if old.optional != new.optional {
            let breaks = new.optional == (place.way == Way::Out);
            let now = if new.optional { "may be null now" } else { "can't be null any more" };
            if breaks {
                self.type_changed(&place, now);
            } else {
                self.relaxed(&place, now);
            }
        }
        self.types(old, new, &place);
    }

    fn kinds(&mut self, old: &Type, new: &Type, place: &Place) {
        // Whether one takes all that the other can be. Bounds of another kind are not compared: any may leave something out.
        let takes = |wide: &Type, narrow: &Type| {
            let text = |kind: &Kind| matches!(kind, Kind::String | Kind::Path);
            let is_text = |kind: &Kind| {
                text(kind) || matches!(kind, Kind::Enum(_) | Kind::Duration | Kind::Datetime | Kind::Bytes)
            };
            let number = matches!((&wide.kind, &narrow.kind), (Kind::Float, Kind::Integer));
            wide.bounds.is_empty() && (number || text(&wide.kind) && is_text(&narrow.kind))
        };
        let fits = if place.way == Way::Out { takes(old, new) } else { takes(new, old) };
        let now = format!("is of type `{}` now, and was `{}`", new.kind.name(), old.kind.name());
        if fits { self.relaxed(place, &now) } else { self.type_changed(place, &now) }
    }

    fn type_changed(&mut self, place: &Place, now: &str) {
        let message = format!("{} {now}", place.what);
        self.change(Rule::TypeChanged, message, (place.old.clone(), "it was this"), (place.new.clone(), ""));
    }

    fn relaxed(&mut self, place: &Place, now: &str) {
        let message = format!("{} {now}", place.what);
        self.change(Rule::TypeRelaxed, message, (place.old.clone(), "it was this"), (place.new.clone(), ""));
    }

    fn named(&mut self, old: &'m str, new: &'m str, place: &Place) {
        let (Some(old_type), Some(new_type)) = (self.old.1.find_type(old), self.new.1.find_type(new)) else { return };
        if !self.compared.insert((old_type.name.as_str(), new_type.name.as_str(), place.way)) {
            return;
        }
        let goes = match place.way {
            Way::In => "goes in",
            Way::Out => "goes out",
            Way::Config => "in the configuration",
        };
        let at = (old_type.name.span(), new_type.name.span());
        let inner =
            Place { what: format!("the type `{new}` ({goes})"), way: place.way, old: at.0.clone(), new: at.1.clone() };
        self.deprecation(&inner.what, old_type.deprecated.as_ref(), new_type.deprecated.as_ref(), &at);
        match (&old_type.shape, &new_type.shape) {
            (Shape::Record(old), Shape::Record(new)) => self.fields(old, new, &inner),
            (Shape::Newtype(old), Shape::Newtype(new)) => self.types(old, new, &inner),
            (Shape::Enum { values: old, open: was }, Shape::Enum { values: new, open: is }) => {
                let old: Vec<_> = old.iter().map(|value| &value.name).collect();
                let new: Vec<_> = new.iter().map(|value| &value.name).collect();
                self.values("value", &old, &new, (*was, *is), &inner);
            }
            (Shape::Union { cases: old, open: was }, Shape::Union { cases: new, open: is }) => {
                let names = |cases: &'m [crate::Case]| cases.iter().map(|case| &case.name).collect::<Vec<_>>();
                self.values("case", &names(old), &names(new), (*was, *is), &inner);
                for (old, new) in match_up(old, new, |case| case.name.as_str()).kept {
                    let what = format!("the case `{}` of {}", new.name, inner.what);
                    let place = Place { what, way: place.way, old: old.name.span(), new: new.name.span() };
                    if let (Some(old), Some(new)) =
                        (fields_of(self.old.1, &old.content), fields_of(self.new.1, &new.content))
                    {
                        self.fields(old, new, &place);
                    }
                }
            }
            _ => self.type_changed(&inner, "is something else now"),
        }
    }

    /// The values of an enum, or the cases of a union.
    fn values(&mut self, noun: &str, old: &[&'m Name], new: &[&'m Name], (was, is): (bool, bool), place: &Place) {
        let out = place.way == Way::Out;
        let missing = |from: &[&'m Name], list: &[&'m Name]| {
            let missing = from.iter().filter(|name| list.iter().all(|other| other.as_str() != name.as_str()));
            missing.copied().collect::<Vec<&'m Name>>()
        };
        for name in missing(old, new) {
            // What is open still takes it.
            let rule = if out || is { Rule::ValueCompatible } else { Rule::ValueBreaking };
            let message = format!("the {noun} `{name}` of {} is gone", place.what);
            self.change(rule, message, (name.span(), "it was here"), (place.new.clone(), ""));
        }
        for name in missing(new, old) {
            // Who takes what is open expects something new.
            let rule = if out && !was { Rule::ValueBreaking } else { Rule::ValueCompatible };
            let message = format!("the {noun} `{name}` of {} is new", place.what);
            self.change(rule, message, (place.old.clone(), "it was this"), (name.span(), "new here"));
        }
        if was != is {
            let (now, breaks) =
                if is { ("open now: others may come", out) } else { ("closed now: others are refused", !out) };
            let rule = if breaks { Rule::ValueBreaking } else { Rule::ValueCompatible };
            let message = format!("{} is {now}", place.what);
            self.change(rule, message, (place.old.clone(), "it was this"), (place.new.clone(), ""));
        }
    }

    fn bounds(&mut self, old: &Type, new: &Type, place: &Place) {
        let less = |a: &Value, b: &Value| a < b;
        let (o, n) = (&old.bounds, &new.bounds);
        self.bound("min", o.min.as_ref(), n.min.as_ref(), |old, new| less(old, new), place);
        self.bound("max", o.max.as_ref(), n.max.as_ref(), |old, new| less(new, old), place);
        self.bound("min_length", o.min_length.as_ref(), n.min_length.as_ref(), |old, new| old < new, place);
        self.bound("max_length", o.max_length.as_ref(), n.max_length.as_ref(), |old, new| new < old, place);
        if o.pattern.as_ref().map(|bound| &bound.value) != n.pattern.as_ref().map(|bound| &bound.value) {
            // Of two patterns nobody knows which one is narrower.
            let rule = match (&o.pattern, &n.pattern, place.way) {
                (Some(_), None, Way::In | Way::Config) | (None, Some(_), Way::Out) => Rule::BoundCompatible,
                _ => Rule::BoundBreaking,
            };
            let shown = |bound: &Option<Bound<String>>| match bound {
                Some(bound) => format!("`{}`", bound.value),
                None => "none".to_owned(),
            };
            let message =
                format!("the pattern of {} is {} now, and was {}", place.what, shown(&n.pattern), shown(&o.pattern));
            let span = |bound: &Option<Bound<String>>, else_at: &Span| {
                bound.as_ref().map_or(else_at.clone(), |bound| bound.span.clone())
            };
            self.change(
                rule,
                message,
                (span(&o.pattern, &place.old), "it was this"),
                (span(&n.pattern, &place.new), ""),
            );
        }
    }

    fn bound<T: PartialEq + std::fmt::Display>(
        &mut self,
        key: &str,
        old: Option<&Bound<T>>,
        new: Option<&Bound<T>>,
        is_narrower: impl Fn(&T, &T) -> bool,
        place: &Place,
    ) {
        let narrower = match (old, new) {
            (None, None) => return,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) if old.value == new.value => return,
            (Some(old), Some(new)) => is_narrower(&old.value, &new.value),
        };
        let breaks = narrower != (place.way == Way::Out);
        let rule = if breaks { Rule::BoundBreaking } else { Rule::BoundCompatible };
        let shown = |bound: Option<&Bound<T>>| bound.map_or("none".to_owned(), |bound| bound.value.to_string());
        let message = format!("`{key}` of {} is {} now, and was {}", place.what, shown(new), shown(old));
        let span = |bound: Option<&Bound<T>>, else_at: &Span| bound.map_or(else_at.clone(), |bound| bound.span.clone());
        self.change(rule, message, (span(old, &place.old), "it was this"), (span(new, &place.new), ""));
    }
}

/// The keys of a section, each with its value as a manifest would write it.
type Shown = Vec<(&'static str, Option<String>)>;

fn process_shown(manifest: &Manifest) -> Shown {
    let process = &manifest.process;
    let text = |text: &Option<String>| text.as_ref().map(|text| format!("{text:?}"));
    let args = |args: &[String]| (!args.is_empty()).then(|| format!("{args:?}"));
    let time = |time: Option<Duration>| time.map(|time| Value::Duration(time).to_string());
    vec![
        ("path", process.path.as_ref().map(|path| format!("{:?}", path.as_str()))),
        ("interpreter", text(&process.interpreter)),
        ("interpreter_args", args(&process.interpreter_args)),
        ("entry", text(&process.entry)),
        ("args", args(&process.args)),
        ("framing", text(&process.framing)),
        ("connect_timeout", time(process.connect_timeout)),
        ("init_timeout", time(process.init_timeout)),
        ("overlap", Some(process.overlap.to_string())),
    ]
}

fn limits_shown(manifest: &Manifest) -> Shown {
    let limits = &manifest.limits;
    vec![
        ("memory", limits.memory.map(|bytes| Value::Size(bytes).to_string())),
        ("files", limits.files.map(|files| files.to_string())),
        ("cpu", limits.cpu.map(|cpu| cpu.to_string())),
    ]
}

/// The fields of a message, if it is a record.
fn fields_of<'m>(manifest: &'m Manifest, message: &'m Message) -> Option<&'m [Field]> {
    match message {
        Message::Inline { fields, .. } => Some(fields),
        Message::Named(name) => match &manifest.find_type(name.as_str())?.shape {
            Shape::Record(fields) => Some(fields),
            _ => None,
        },
    }
}

/// The type behind newtypes; `None` if it is a type of another shape, such as a record.
fn plain<'t>(manifest: &'t Manifest, ty: &'t Type) -> Option<&'t Type> {
    match &ty.kind {
        Kind::Named(name) => match &manifest.find_type(name)?.shape {
            Shape::Newtype(inner) => plain(manifest, inner),
            _ => None,
        },
        _ => Some(ty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_if_nothing_changed() {
        let source = Source::new("m.toml", "schema_version = \"3.0\"\n[module]\nname = \"m\"\nversion = \"1.0.0\"\n");
        let manifest = Manifest::parse(&source).unwrap();
        assert!(compare((&source, &manifest), (&source, &manifest)).is_empty());
    }
}

//! Compares `[artifacts.process]`, `[limits]` and `[env]`, which matter to those who run the module. Each change is a note.

use std::time::Duration;

use super::{Comparison, Spans, pair_up};
use crate::diagnostic::ChangeRule;
use crate::model::{Manifest, Name, ProcessInfo, ProcessLimits, Value, Variable};
use crate::source::Span;

/// The keys of a section, each with its value for messages, in the style of TOML. `None` if the manifest does not have the key, or
/// has an empty list.
type Shown = Vec<(&'static str, Option<String>)>;

impl Comparison<'_> {
    /// Compares the three sections. A change in `[artifacts.process]` or `[limits]` points at the section, or at the module's name
    /// where the section is absent. A change in `[env]` points at the variable; for one that is gone, at the module's name.
    pub(super) fn process(&mut self) {
        let (old, new) = (self.old.1, self.new.1);
        let spans = |old: &Option<Span>, new: &Option<Span>| {
            let at = |manifest: &Manifest, span: &Option<Span>| span.clone().unwrap_or(manifest.module.name.span());
            Spans { old: at(self.old.1, old), new: at(self.new.1, new) }
        };
        let process_spans = spans(&old.process.span, &new.process.span);
        let limits_spans = spans(&old.limits.span, &new.limits.span);
        self.section("[artifacts.process]", process(&old.process), process(&new.process), &process_spans);
        self.section("[limits]", limits(&old.limits), limits(&new.limits), &limits_spans);
        self.env();
    }

    /// Reports the keys of a section whose values differ, one by one. `old` and `new` list the same keys in the same order. A key
    /// that is absent and one that is set to its default differ, except `overlap`.
    fn section(&mut self, section: &str, old: Shown, new: Shown, spans: &Spans) {
        for ((key, was), (_, is)) in old.into_iter().zip(new).filter(|((_, was), (_, is))| was != is) {
            let or_none = |shown: Option<String>| shown.unwrap_or("none".to_owned());
            let message = format!("`{key}` in {section} is {} now, and was {}", or_none(is), or_none(was));
            self.changed(ChangeRule::ProcessChanged, message, spans);
        }
    }

    /// Compares `[env]`: the names in `pass`, and the names and values in `set`. Messages leave the values out, since an author may
    /// have put a secret there.
    fn env(&mut self) {
        let (old, new) = (&self.old.1.env, &self.new.1.env);
        let passed = pair_up(&old.pass, &new.pass, Name::as_str);
        for name in passed.removed {
            let message = format!("the variable `{name}` of the host is not passed on any more");
            self.removed(ChangeRule::ProcessChanged, message, name.span());
        }
        for name in passed.added {
            let message = format!("the variable `{name}` of the host is passed on now");
            self.added(ChangeRule::ProcessChanged, message, name.span());
        }
        let set = pair_up(&old.set, &new.set, |variable| variable.name.as_str());
        for Variable { name, .. } in set.removed {
            self.removed(ChangeRule::ProcessChanged, format!("the variable `{name}` is not set any more"), name.span());
        }
        for Variable { name, .. } in set.added {
            self.added(ChangeRule::ProcessChanged, format!("the variable `{name}` is set now"), name.span());
        }
        for (old, new) in set.kept.into_iter().filter(|(old, new)| old.value != new.value) {
            let message = format!("the variable `{}` is set to another value", new.name);
            let spans = Spans { old: old.name.span(), new: new.name.span() };
            self.changed(ChangeRule::ProcessChanged, message, &spans);
        }
    }
}

/// `[artifacts.process]`, without the hash and the size of the program: those change with every version. `overlap` has a value also
/// if the manifest does not say.
fn process(process: &ProcessInfo) -> Shown {
    let ProcessInfo {
        span: _,
        path,
        interpreter,
        interpreter_args,
        entry,
        args,
        framing,
        sha256: _,
        size_bytes: _,
        connect_timeout,
        init_timeout,
        overlap,
    } = process;
    let text = |text: &Option<String>| text.as_ref().map(|text| format!("{text:?}"));
    let texts = |texts: &[String]| (!texts.is_empty()).then(|| format!("{texts:?}"));
    let time = |time: Option<Duration>| time.map(|time| Value::Duration(time).to_string());
    vec![
        ("path", path.as_ref().map(|path| format!("{:?}", path.as_str()))),
        ("interpreter", text(interpreter)),
        ("interpreter_args", texts(interpreter_args)),
        ("entry", text(entry)),
        ("args", texts(args)),
        ("framing", text(framing)),
        ("connect_timeout", time(*connect_timeout)),
        ("init_timeout", time(*init_timeout)),
        ("overlap", Some(overlap.to_string())),
    ]
}

/// `[limits]`. A `memory` that is written in another unit is the same.
fn limits(limits: &ProcessLimits) -> Shown {
    let ProcessLimits { span: _, memory, files, cpu } = limits;
    vec![
        ("memory", memory.map(|bytes| Value::Size(bytes).to_string())),
        ("files", files.map(|files| files.to_string())),
        ("cpu", cpu.map(|cpu| cpu.to_string())),
    ]
}

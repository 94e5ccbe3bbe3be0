//! The log in files, one for each day, which only this user can read: it may hold what nobody else is to see.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tracing_appender::rolling::{RollingFileAppender, Rotation};

/// So many files are kept.
const KEPT: usize = 14;

pub(crate) struct LogFiles {
    dir: PathBuf,
    files: RollingFileAppender,
    /// The day whose file was made.
    day: Date,
}

impl LogFiles {
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| format!("can't make the directory {} for the log", dir.display()))?;
        let failed = || format!("can't write the log to {}", dir.display());
        let day = today();
        make(dir, day).with_context(failed)?;
        let files = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("ixt")
            .filename_suffix("jsonl")
            .max_log_files(KEPT)
            .build(dir)
            .with_context(failed)?;
        Ok(Self { dir: dir.to_owned(), files, day })
    }

    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let day = today();
        if day != self.day {
            make(&self.dir, day)?;
            self.day = day;
        }
        self.files.write_all(line)
    }
}

/// Makes the file of a day, before the appender does it for all to read: as it names it, by the day in UTC.
fn make(dir: &Path, day: Date) -> io::Result<()> {
    let path = dir.join(format!("ixt.{day}.jsonl"));
    let file = File::options().create(true).append(true).mode(0o600).open(path)?;
    // It may be one of an earlier version.
    file.set_permissions(Permissions::from_mode(0o600))
}

fn today() -> Date {
    jiff::Timestamp::now().to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nobody_else_reads_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join(format!("ixt.{}.jsonl", today()));
        fs::write(&there, "before\n").unwrap();
        fs::set_permissions(&there, Permissions::from_mode(0o644)).unwrap();
        let mut files = LogFiles::open(dir.path()).unwrap();
        files.write(b"now\n").unwrap();
        // The next day: the file is there before the appender writes into it.
        files.day = files.day.yesterday().unwrap();
        files.write(b"then\n").unwrap();
        let written: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(written, std::slice::from_ref(&there), "the appender's name is that of the file which was made");
        assert_eq!(fs::read_to_string(&there).unwrap(), "before\nnow\nthen\n");
        assert_eq!(fs::metadata(&there).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

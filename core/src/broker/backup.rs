//! FERROMQ_BACKUP (29001): a copy of the broker's directory while it goes on, [`Broker::backup`].

use std::path::Path;

use crate::config::file;
use crate::store::{Backup, FullFiles};
use crate::wire::{self, body, Response, ResponseCode};
use crate::Result;

use super::handler::{json, refused, Answer, Caller};
use super::{transaction, Broker};

/// Directories beside the store's own, of this broker and of what else an embedded server keeps there.
const BESIDE: [&str; 3] = ["config", "namesrv", "broadcast"];
/// Tables that are taken after the messages, so that each message has its topic. All others say how far somebody has come, and
/// are taken before: never ahead of the messages.
const AFTER: [&str; 2] = ["config/topics.json", "config/subscriptionGroup.json"];

impl Broker {
    /// Makes a copy of store and tables in `to`, a directory that is made, or is empty, while everything goes on. A broker,
    /// this library's or Apache's, that is started on it has the messages up to one moment after the call began, and
    /// groups where they were or a little before: what they consumed meanwhile they get again. A transaction that was
    /// decided just then may be asked for again.
    ///
    /// # Errors
    /// As [`crate::store::Core::backup`], when a table cannot be saved, and when the broker is stopped meanwhile.
    pub fn backup(&self, to: &Path, full: FullFiles) -> Result<Backup> {
        let root = self.config().store_path_root_dir.clone();
        transaction::write_marks(self);
        self.offsets.save(self.clock.now_ms())?;
        self.save_filters();
        self.delay.save(self);
        let progress = file::below(&root, &BESIDE)?;
        let made = self.store.backup_with(to, full, || {
            self.topics.save().and(self.groups.save())?;
            let is_progress = |name: &Path| AFTER.iter().all(|after| name != Path::new(after));
            let tables = file::below(&root, &BESIDE)?;
            let tables = tables.into_iter().filter(|(name, _)| !is_progress(name));
            let mut all = progress.into_iter().filter(|(name, _)| is_progress(name)).chain(tables);
            all.try_for_each(|(name, bytes)| file::save(&to.join(name), &bytes))
        })?;
        let Backup { log, queues, copied, linked, .. } = &made;
        tracing::info!(dir = %to.display(), ?log, queues, copied, linked, "backup made");
        Ok(made)
    }
}

/// The request: a backup below `backupPath`, under the name given.
pub(crate) fn make(broker: &Broker, caller: &Caller<'_>, request: &wire::FerromqBackup<'_>) -> Answer {
    let Some(dir) = broker.config().backup_path.clone() else {
        let remark = "this broker makes no backups by request: set backupPath in its settings to the directory for them";
        return refused(ResponseCode::NO_PERMISSION, remark).into();
    };
    let name = request.name.to_string();
    if !is_name(&name) {
        let remark = format!(
            "{name:?} is no name for a backup: 1 to 200 letters, digits, '.', '_', '-'; no '.' first"
        );
        return refused(ResponseCode::INVALID_PARAMETER, remark).into();
    }
    let full = if request.copy { FullFiles::Copied } else { FullFiles::Linked };
    let from = caller.remote();
    Answer::copied(broker, move |broker| -> Response {
        let to = dir.join(name);
        tracing::info!(%from, dir = %to.display(), "a backup was asked for");
        match broker.backup(&to, full) {
            Ok(made) => json(&body::BackupMade {
                directory: to.display().to_string(),
                begin: made.log.start,
                end: made.log.end,
                queues: made.queues,
                copied: made.copied,
                linked: made.linked,
            }),
            Err(error) => refused(ResponseCode::SYSTEM_ERROR, error.to_string()),
        }
    })
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (1..=200).contains(&name.len()) && !name.starts_with('.') && name.chars().all(allowed)
}

//! Moves and copies, at once or as migrations that clients poll.
//!
//! What can be refused is refused when it is asked; what has become impossible until it is carried out
//! makes the migration fail.

use std::collections::BTreeMap;

use serde_json::json;

use super::auth::{Author, Need};
use super::call::{Call, Reply};
use super::clock::Time;
use super::errors::ApiError;
use super::faults::Effect;
use super::names;
use super::settings::Settings;
use super::state::{World, split};
use super::tree::{Kind, Node, ROOT};

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    is_copy: bool,
    from: String,
    to: String,
    overwrite: bool,
    only_folders: bool,
    author: Author,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    /// Carried out at this time; `in_progress` from half of the way on.
    Due(Time, Time),
    Hangs,
    Completed,
    Failed(String),
    Cancelled,
}

#[derive(Debug)]
pub(super) struct Migration {
    plan: Plan,
    status: Status,
    /// The key that started it: one confined to a path sees no other's.
    started_by: String,
}

pub(super) fn begin(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    let to = call.params.text("destination").ok_or_else(|| ApiError::required("destination"))?;
    let plan = Plan {
        is_copy: call.route.kind == "copy",
        from: call.path().to_owned(),
        to: to.trim_matches('/').to_owned(),
        overwrite: call.params.flag("overwrite"),
        only_folders: call.params.flag("structure"),
        author: call.caller.author,
    };
    let source = world.tree.find(&plan.from).filter(|id| *id != ROOT).ok_or_else(ApiError::not_found)?;
    let is_folder = world.tree.get(source).is_some_and(Node::is_folder);
    names::check(&plan.to, is_folder, call.settings.longest_name)?;
    call.demand(&plan.from, if plan.is_copy { Need::Read } else { Need::Delete })?;
    call.demand(&plan.to, Need::Write)?;
    if let Some(there) = world.tree.find(&plan.to)
        && there != source
        && plan.overwrite
    {
        call.demand(&plan.to, Need::Overwrite)?;
    }
    world.check_lock(&plan.from, call)?;
    world.check_lock(&plan.to, call)?;
    world.check(&plan, call.settings)?;

    let delay =
        call.settings.migration_delay_ms.max(if plan.overwrite { call.settings.move_gap_ms } else { 0 });
    let now = call.now;
    let failed = "The operation failed.";
    let status = match call.effect {
        Some(Effect::MigrationFails) => Status::Failed(failed.into()),
        Some(Effect::MigrationHangs) => Status::Hangs,
        Some(Effect::MigrationCancelled) => Status::Cancelled,
        _ if delay > 0 => Status::Due(now.plus_ms(delay / 2), now.plus_ms(delay)),
        _ => {
            world.carry_out(&plan, call.settings, now)?;
            return Reply::json(201, &json!({"status": "completed"}));
        }
    };
    if call.settings.move_gap_ms > 0
        && plan.overwrite
        && let Some(there) = world.tree.find(&plan.to)
        && there != source
        && !is_folder
    {
        world.remove(there, now);
    }
    let id = world.migrations.last_key_value().map_or(1, |(id, _)| id + 1);
    world.migrations.insert(id, Migration { plan, status, started_by: call.caller.secret.clone() });
    Reply::json(201, &json!({"status": "pending", "file_migration_id": id}))
}

pub(super) fn show(world: &World, call: &Call<'_>) -> Result<Reply, ApiError> {
    let id: u64 = call.path().parse().map_err(|_| ApiError::not_found())?;
    let is_visible =
        |migration: &&Migration| call.caller.path.is_none() || migration.started_by == call.caller.secret;
    let migration = world.migrations.get(&id).filter(is_visible).ok_or_else(ApiError::not_found)?;
    let (status, message) = match &migration.status {
        Status::Due(begins, _) if call.now < *begins => ("pending", None),
        Status::Due(..) | Status::Hangs => ("in_progress", None),
        Status::Completed => ("completed", None),
        Status::Failed(message) => ("failed", Some(message.as_str())),
        Status::Cancelled => ("cancelled", None),
    };
    let plan = &migration.plan;
    let moved = u64::from(status == "completed");
    Reply::json(
        200,
        &json!({
            "id": id, "path": plan.from, "dest_path": plan.to, "failure_message": message,
            "files_moved": moved, "files_total": 1,
            "operation": if plan.is_copy { "copy" } else { "move" },
            "region": "us-east-1", "status": status, "log_url": null,
        }),
    )
}

impl World {
    pub(super) fn settle_migrations(&mut self, settings: &Settings, now: Time) {
        let is_due = |migration: &Migration| matches!(migration.status, Status::Due(_, due) if now >= due);
        let due: Vec<u64> =
            self.migrations.iter().filter(|(_, migration)| is_due(migration)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(plan) = self.migrations.get(&id).map(|migration| migration.plan.clone()) else {
                continue;
            };
            let outcome = self.check(&plan, settings).and_then(|()| self.carry_out(&plan, settings, now));
            if let Some(migration) = self.migrations.get_mut(&id) {
                migration.status = match outcome {
                    Ok(()) => Status::Completed,
                    Err(error) => Status::Failed(error.text),
                };
            }
        }
    }

    /// Is the plan possible as things stand?
    fn check(&self, plan: &Plan, settings: &Settings) -> Result<(), ApiError> {
        let source = self.tree.find(&plan.from).ok_or_else(ApiError::not_found)?;
        if plan.to.is_empty() {
            return Err(ApiError::exists());
        }
        let (parent, name) = split(&plan.to);
        if let Some(there) = self.tree.find(&plan.to) {
            if there == source {
                let same_text = self.tree.get(source).is_some_and(|node| node.name == name);
                if same_text || plan.is_copy {
                    return Err(ApiError::new(
                        "bad-request/destination-same",
                        "The destination is the same as the source.",
                    ));
                }
                let respells = plan.overwrite || settings.case_only_rename;
                return if respells { Ok(()) } else { Err(ApiError::exists()) };
            }
            let is_folder = |id| self.tree.get(id).is_some_and(Node::is_folder);
            if !plan.overwrite || is_folder(there) != is_folder(source) {
                return Err(ApiError::exists());
            }
        }
        let parent = self.tree.find(parent).ok_or_else(ApiError::parent_missing)?;
        if !self.tree.get(parent).is_some_and(Node::is_folder) {
            return Err(ApiError::parent_missing());
        }
        if self.tree.is_below(parent, source) {
            return Err(ApiError::new(
                "processing-failure/destination-parent-conflict",
                "The destination is inside of the source.",
            ));
        }
        Ok(())
    }

    fn carry_out(&mut self, plan: &Plan, settings: &Settings, now: Time) -> Result<(), ApiError> {
        let source = self.tree.find(&plan.from).ok_or_else(ApiError::not_found)?;
        let (parent, name) = split(&plan.to);
        let parent = self.tree.find(parent).ok_or_else(ApiError::parent_missing)?;
        if plan.is_copy {
            self.copy(source, parent, name, plan, now);
        } else {
            self.shift(source, parent, name, settings, now);
        }
        self.tree.touch(parent, now);
        Ok(())
    }

    /// Moves a node; a folder onto a folder is merged into it. All that the node knows of itself stays.
    fn shift(&mut self, source: u64, parent: u64, name: &str, settings: &Settings, now: Time) {
        let there = self.tree.child(parent, name).filter(|there| *there != source);
        let Some(from) = self.tree.get(source).map(|node| node.parent) else { return };
        let mut name = name.to_owned();
        if let Some(there) = there {
            if self.tree.children(source).is_some() && self.tree.children(there).is_some() {
                let children: Vec<u64> =
                    self.tree.children(source).into_iter().flatten().map(|(_, id)| *id).collect();
                for child in children {
                    if let Some(name) = self.tree.get(child).map(|node| node.name.clone()) {
                        self.shift(child, there, &name, settings, now);
                    }
                }
                self.tree.remove(source);
                self.tree.touch(from, now);
                return;
            }
            if let Some(old) = self.tree.get(there)
                && !settings.overwrite_respells
            {
                name = old.name.clone();
            }
            self.tree.remove(there);
        }
        if let Some(node) = self.tree.detach(source) {
            self.tree.attach(parent, &name, node, Some(source));
        }
        self.tree.touch(from, now);
    }

    /// Copies a node and what is below it. Times are new; metadata and content are the same.
    fn copy(&mut self, source: u64, parent: u64, name: &str, plan: &Plan, now: Time) {
        let Some(node) = self.tree.get(source) else { return };
        let metadata = node.metadata.clone();
        match &node.kind {
            Kind::File(_) if plan.only_folders => {}
            Kind::File(object) => {
                let object = object.clone();
                let (id, _) = self.put_file(parent, name, object, false, (now, plan.author));
                if let Some(copy) = self.tree.edit(id) {
                    copy.metadata = metadata;
                }
            }
            Kind::Folder(children) => {
                let children: Vec<u64> = children.values().copied().collect();
                let target = self.tree.child(parent, name).unwrap_or_else(|| {
                    let mut folder = Node::new(Kind::Folder(BTreeMap::new()), now, plan.author);
                    folder.metadata = metadata;
                    self.tree.attach(parent, name, folder, None)
                });
                for child in children {
                    if let Some(name) = self.tree.get(child).map(|node| node.name.clone()) {
                        self.copy(child, target, &name, plan, now);
                    }
                }
            }
        }
    }
}

//! `GET /folders`: pages of a folder.
//!
//! Folders come before files whatever the order asked for. A cursor names the last entry of its page, so
//! a page goes on at the right place when entries came or went in between; with another order than by
//! path it counts entries.

use std::ops::Bound;

use super::auth::Need;
use super::call::{Call, Reply};
use super::entities::entity;
use super::errors::ApiError;
use super::hex::{base64url, from_base64url};
use super::names::key;
use super::state::World;
use super::tree::{Node, Tree};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Path,
    Size,
    Mtime,
    ProvidedMtime,
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Start {
    Beginning,
    /// Behind the entry of this name, among folders or files; the page in between was empty already.
    After {
        is_file: bool,
        name: String,
        skipped: bool,
    },
    /// At this entry, counted in the order of the request.
    At {
        order: String,
        count: usize,
        skipped: bool,
    },
}

impl Start {
    fn parse(cursor: Option<&str>) -> Result<Self, ApiError> {
        let Some(cursor) = cursor else { return Ok(Self::Beginning) };
        let parse = || {
            let payload = String::from_utf8(from_base64url(cursor.strip_prefix("c2:next:")?)?).ok()?;
            let (rest, skipped) = payload.rsplit_once("//")?;
            let (what, place) = rest.rsplit_once("//")?;
            let skipped = skipped == "1";
            Some(match place {
                "0" | "1" => Self::After { is_file: place == "1", name: what.to_owned(), skipped },
                count => Self::At { order: what.to_owned(), count: count.parse().ok()?, skipped },
            })
        };
        parse().ok_or_else(|| ApiError::new("bad-request/invalid-cursor", "The cursor is invalid."))
    }

    fn cursor(&self) -> String {
        let payload = match self {
            Self::Beginning => return String::new(),
            Self::After { is_file, name, skipped } => {
                format!("{name}//{}//{}", u8::from(*is_file), u8::from(*skipped))
            }
            // Two zeros in front: a count is never taken for the flag of the other form.
            Self::At { order, count, skipped } => format!("{order}//00{count}//{}", u8::from(*skipped)),
        };
        format!("c2:next:{}", base64url(payload.as_bytes()))
    }

    fn was_skipped(&self) -> bool {
        matches!(self, Self::Beginning | Self::After { skipped: true, .. } | Self::At { skipped: true, .. })
    }

    fn skip(self) -> Self {
        match self {
            Self::Beginning => Self::Beginning,
            Self::After { is_file, name, .. } => Self::After { is_file, name, skipped: true },
            Self::At { order, count, .. } => Self::At { order, count, skipped: true },
        }
    }
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Result<Reply, ApiError> {
    call.demand(call.path(), Need::List)?;
    let folder = world.tree.find(call.path()).ok_or_else(ApiError::not_found)?;
    if world.tree.children(folder).is_none() {
        return Err(if call.settings.listing_a_file_is_refused {
            ApiError::new("bad-request/folder-must-not-be-a-file", "The path is a file.")
        } else {
            ApiError::not_found()
        });
    }
    let cached = format!("{folder} {} {}", call.caller.secret, call.query);
    if let Some((then, reply)) = world.listings.get(&cached)
        && call.now < then.plus_ms(call.settings.listing_cache_ms)
    {
        let mut reply = reply.clone();
        reply.headers.push(("x-files-cached-response", then.seconds().to_string()));
        return Ok(reply);
    }
    let reply = page(&world.tree, folder, call)?;
    if call.settings.listing_cache_ms > 0 {
        world.listings.insert(cached, (call.now, reply.clone()));
    }
    Ok(reply)
}

fn page(tree: &Tree, folder: u64, call: &Call<'_>) -> Result<Reply, ApiError> {
    let params = call.params;
    let per_page = match params.number("per_page")? {
        Some(0) => return Err(ApiError::invalid("per_page must be positive")),
        Some(wanted) => usize::try_from(wanted).unwrap_or(usize::MAX).min(call.settings.per_page_max),
        None => call.settings.per_page,
    };
    if params.flag("search_all") && !call.path().is_empty() {
        return Err(ApiError::new("bad-request/search-all-on-child-path", "search_all works at the root."));
    }
    let (order, descending) = order(call)?;
    let start = Start::parse(params.text("cursor").as_deref())?;
    if call.settings.empty_pages && !start.was_skipped() {
        return answer(Vec::new(), Some(start.skip()), call, tree, folder);
    }
    let filter = Filter::of(call)?;
    // One more than fits: only so is it known whether this page is the last.
    let mut found: Vec<&Node> = Vec::new();
    let next = if order == Order::Path && !descending {
        in_order(tree, folder, &start, &filter, per_page + 1, &mut found)?;
        found.get(per_page - 1).filter(|_| found.len() > per_page).map(|last| Start::After {
            is_file: !last.is_folder(),
            name: last.name.clone(),
            skipped: false,
        })
    } else {
        let name = format!("{order:?}{descending}");
        let from = match start {
            Start::Beginning => 0,
            Start::At { order, count, .. } if order == name => count,
            _ => {
                return Err(ApiError::new(
                    "bad-request/invalid-cursor-type-for-sort",
                    "The cursor belongs to another order.",
                ));
            }
        };
        in_order(tree, folder, &Start::Beginning, &filter, usize::MAX, &mut found)?;
        sort(&mut found, order, descending);
        found.drain(..from.min(found.len()));
        (found.len() > per_page).then(|| Start::At { order: name, count: from + per_page, skipped: false })
    };
    found.truncate(per_page);
    answer(found, next, call, tree, folder)
}

fn answer(
    found: Vec<&Node>,
    next: Option<Start>,
    call: &Call<'_>,
    tree: &Tree,
    folder: u64,
) -> Result<Reply, ApiError> {
    let above = tree.path(folder);
    let path = |node: &Node| {
        if above.is_empty() { node.name.clone() } else { format!("{above}/{}", node.name) }
    };
    let entities: Vec<_> = found.into_iter().map(|node| entity(call, node, path(node))).collect();
    let mut reply = Reply::json(200, &entities)?.cacheable();
    if let Some(next) = next {
        let cursor = next.cursor();
        reply.headers.push(("x-files-cursor", cursor.clone()));
        reply.headers.push(("x-files-cursor-next", cursor));
    }
    Ok(reply)
}

/// Folders first, then files, each in the order of their keys, from `start` on.
fn in_order<'a>(
    tree: &'a Tree,
    folder: u64,
    start: &Start,
    filter: &Filter,
    most: usize,
    found: &mut Vec<&'a Node>,
) -> Result<(), ApiError> {
    let Some(children) = tree.children(folder) else { return Ok(()) };
    let (from_files, after) = match start {
        Start::Beginning => (false, None),
        Start::After { is_file, name, .. } => (*is_file, Some(key(tree.rule(), name))),
        Start::At { .. } => {
            return Err(ApiError::new(
                "bad-request/invalid-cursor-type-for-sort",
                "The cursor belongs to another order.",
            ));
        }
    };
    for files in [false, true] {
        if from_files && !files {
            continue;
        }
        let bound = match &after {
            Some(key) if files == from_files => Bound::Excluded(key.clone()),
            _ => Bound::Unbounded,
        };
        let nodes = children.range((bound, Bound::Unbounded)).filter_map(|(_, id)| tree.get(*id));
        for node in nodes.filter(|node| node.is_folder() != files && filter.takes(node)) {
            if found.len() >= most {
                return Ok(());
            }
            found.push(node);
        }
    }
    Ok(())
}

fn order(call: &Call<'_>) -> Result<(Order, bool), ApiError> {
    let Some(sort) = call.params.texts("sort_by")? else { return Ok((Order::Path, false)) };
    if sort.len() > 1 {
        return Err(ApiError::new(
            "bad-request/multiple-sort-params-not-allowed",
            "Only one sort parameter is allowed.",
        ));
    }
    let Some((field, direction)) = sort.first_key_value() else { return Ok((Order::Path, false)) };
    let order = match field.as_str() {
        "path" => Order::Path,
        "size" => Order::Size,
        "modified_at_datetime" => Order::Mtime,
        "provided_modified_at" => Order::ProvidedMtime,
        _ => return Err(ApiError::new("bad-request/invalid-sort-field", "This field cannot be sorted by.")),
    };
    Ok((order, direction.eq_ignore_ascii_case("desc")))
}

fn sort(found: &mut [&Node], order: Order, descending: bool) {
    found.sort_by(|a, b| {
        let size = |node: &Node| match &node.kind {
            super::tree::Kind::File(object) => object.size,
            super::tree::Kind::Folder(_) => 0,
        };
        let within = match order {
            Order::Path => a.key.cmp(&b.key),
            Order::Size => size(a).cmp(&size(b)),
            Order::Mtime => a.mtime.cmp(&b.mtime),
            Order::ProvidedMtime => a.provided_mtime.cmp(&b.provided_mtime),
        };
        let within = if descending { within.reverse() } else { within };
        b.is_folder().cmp(&a.is_folder()).then(within).then_with(|| a.key.cmp(&b.key))
    });
}

/// Which entries are wanted.
struct Filter {
    folders: Option<bool>,
    search: Option<String>,
    metadata_key: Option<String>,
}

impl Filter {
    fn of(call: &Call<'_>) -> Result<Self, ApiError> {
        let folders = match call.params.text("type").as_deref() {
            None => None,
            Some("folder") => Some(true),
            Some("file") => Some(false),
            Some(_) => return Err(ApiError::invalid("type must be file or folder")),
        };
        let search = call.params.text("search");
        let search = search.map(|text| text.rsplit('/').next().unwrap_or_default().to_lowercase());
        Ok(Self { folders, search, metadata_key: call.params.text("search_custom_metadata_key") })
    }

    fn takes(&self, node: &Node) -> bool {
        self.folders.is_none_or(|folders| node.is_folder() == folders)
            && self.search.as_ref().is_none_or(|text| {
                let in_metadata = |key: &String| {
                    node.metadata.get(key).is_some_and(|value| value.to_lowercase().contains(text))
                };
                match &self.metadata_key {
                    Some(key) => in_metadata(key),
                    None => node.name.to_lowercase().contains(text),
                }
            })
    }
}

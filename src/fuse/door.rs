//! One method for each request of the kernel: all of one trait, so all in one place.

use std::ffi::OsStr;
use std::future::Future;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, FopenFlags, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;

use super::convert::{attr, errno, ino, kind, moment};
use super::folders::Folders;
use super::forget::Kernel;
use super::reply::{GENERATION, attributes, data, empty, entry, written, xattr};
use crate::fs::{By, Change, Filesystem, Maker, Pages};
use crate::model::failure::Failure;
use crate::model::ino::Ino;
use crate::model::name::LONGEST_NAME;
use crate::model::xattrs::{Expects, RESERVED};

/// Bytes of one request, to write or to read.
pub const MAX_REQUEST: u32 = 1 << 20;
/// Requests that the kernel may have under way by itself: read-ahead, mostly.
const MAX_BACKGROUND: u16 = 64;
/// Free room where no quota is known: 1 PiB in blocks of 4 KiB.
const BLOCKS: u64 = 1 << 38;
const BLOCK_SIZE: u32 = 4096;

/// Takes requests, converts them, replies.
pub struct Door {
    fs: Arc<Filesystem>,
    runtime: Handle,
    folders: Arc<Folders>,
    kernel: Arc<Kernel>,
}

impl Door {
    /// A door to `fs`, whose slow work runs on `runtime`.
    pub fn new(fs: Arc<Filesystem>, runtime: Handle, kernel: Arc<Kernel>) -> Self {
        Self { fs, runtime, folders: Arc::default(), kernel }
    }

    /// Takes set-user-id and set-group-id off a file whose bytes somebody changes who may not keep them, and tells the
    /// kernel before the answer: it would show the old mode until it looks again.
    fn drop_privilege(&self, node: Ino) {
        if self.fs.drop_privilege(node).is_ok_and(|dropped| dropped) {
            self.kernel.attributes_changed(node);
        }
    }

    /// Answers at once where nobody has to be waited for, and else as soon as it can. What waits for the network or
    /// for a disk to sync has no place in the first step of `work`.
    fn soon<F, Fut>(&self, work: F)
    where
        F: FnOnce(Arc<Filesystem>) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        // The one deadline of this call, for all that is done on its behalf.
        let deadline = self.fs.deadline_of_a_call();
        let mut work = Box::pin(deadline.scope(work(self.fs.clone())));
        let _inside = self.runtime.enter();
        // Handing it to another thread costs more than most answers do. The runtime asks again right away, so
        // nothing is missed by a waker that does nothing.
        let asked =
            catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
        // A panic costs the one request, as it would in the runtime: what is dropped without a reply is EIO.
        if let Ok(Poll::Pending) = asked {
            self.runtime.spawn(work);
        }
    }

    /// Answers a change of attributes; true: once it is on the local disk.
    fn when_durable(&self, reply: ReplyEmpty, changed: Result<bool, Failure>) {
        match changed {
            Ok(true) => self.soon(|fs| async move { empty(reply, fs.facts_are_durable().await) }),
            changed => empty(reply, changed.map(drop)),
        }
    }
}

/// May the caller keep special bits of a file that it changes? The kernel says so of writes alone; root may.
fn keeps_privilege(request: &Request) -> bool {
    request.uid() == 0
}

fn maker(request: &Request, mode: u32) -> Maker {
    Maker { mode: (mode & 0o7777) as u16, uid: request.uid(), gid: request.gid(), pid: request.pid() }
}

impl fuser::Filesystem for Door {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Without O_TRUNC in the open, an overwrite would look like a truncate(2) of its own.
        for wanted in [
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_ASYNC_READ,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            // An NFS server finds a file by its number when the kernel has forgotten it.
            InitFlags::FUSE_EXPORT_SUPPORT,
        ] {
            if config.add_capabilities(wanted).is_err() {
                tracing::debug!("the kernel does not offer {wanted:?}");
            }
        }
        if let Err(nearest) = config.set_max_write(MAX_REQUEST) {
            let _ = config.set_max_write(nearest);
        }
        let _ = config.set_max_background(MAX_BACKGROUND);
        if let Err(most) = config.set_max_readahead(MAX_REQUEST) {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let parent = ino(parent);
        if let Some(found) = self.fs.lookup_dots(parent, name).or_else(|| self.fs.lookup_now(parent, name)) {
            return entry(reply, found);
        }
        let name = name.to_owned();
        self.soon(|fs| async move { entry(reply, fs.lookup(parent, &name).await) });
    }

    fn forget(&self, _: &Request, node: INodeNo, count: u64) {
        self.fs.forget(ino(node), count);
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attributes(reply, self.fs.attr(ino(node)));
    }

    fn setattr(
        &self,
        request: &Request,
        node: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let node = ino(node);
        let change =
            Change { mode: mode.map(|mode| (mode & 0o7777) as u16), uid, gid, mtime: mtime.map(moment) };
        if size.is_none() {
            match self.fs.change(node, change) {
                Ok((_, true)) => {}
                outcome => return attributes(reply, outcome.map(|(attr, _)| attr)),
            }
        } else if !keeps_privilege(request) {
            self.drop_privilege(node);
        }
        self.soon(move |fs| async move {
            let outcome = async {
                if let Some(size) = size {
                    fs.truncate(node, size, handle.map(|handle| handle.0)).await?;
                    if !fs.change(node, change)?.1 {
                        return fs.attr(node);
                    }
                }
                fs.facts_are_durable().await?;
                fs.attr(node)
            };
            attributes(reply, outcome.await);
        });
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        if mode & libc::S_IFMT != libc::S_IFREG {
            // Devices, pipes and sockets have no place on Files.com.
            return reply.error(Errno::EPERM);
        }
        let (parent, name, maker) = (ino(parent), name.to_owned(), maker(request, mode));
        self.soon(move |fs| async move {
            let outcome = async {
                let (made, handle) = fs.create(parent, &name, maker, true).await?;
                let closed = fs.close(made.ino, handle, maker.pid).await;
                fs.release(handle);
                closed?;
                fs.attr(made.ino)
            };
            entry(reply, outcome.await);
        });
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let (parent, name, maker) = (ino(parent), name.to_owned(), maker(request, mode));
        self.soon(move |fs| async move { entry(reply, fs.mkdir(parent, &name, maker).await) });
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (parent, name) = (ino(parent), name.to_owned());
        self.soon(move |fs| async move { empty(reply, fs.unlink(parent, &name).await) });
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (parent, name) = (ino(parent), name.to_owned());
        self.soon(move |fs| async move { empty(reply, fs.rmdir(parent, &name).await) });
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (parent, name, maker) = (ino(parent), name.to_owned(), maker(request, 0o777));
        let target = target.as_os_str().to_owned();
        self.soon(move |fs| async move { entry(reply, fs.symlink(parent, &name, &target, maker).await) });
    }

    fn readlink(&self, _: &Request, node: INodeNo, reply: ReplyData) {
        let node = ino(node);
        self.soon(move |fs| async move {
            data(reply, fs.follow_link(node).await.map(std::os::unix::ffi::OsStringExt::into_vec));
        });
    }

    fn link(&self, _: &Request, node: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (node, parent, name) = (ino(node), ino(parent), name.to_owned());
        self.soon(move |fs| async move { entry(reply, fs.link(node, parent, &name).await) });
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let no_replace = match flags.bits() {
            0 => false,
            libc::RENAME_NOREPLACE => true,
            _ => return reply.error(Errno::EINVAL),
        };
        let (from, to) = ((ino(parent), name.to_owned()), (ino(new_parent), new_name.to_owned()));
        self.soon(move |fs| async move {
            empty(reply, fs.rename((from.0, &from.1), (to.0, &to.1), no_replace).await);
        });
    }

    fn open(&self, request: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let writable = flags.0 & libc::O_ACCMODE != libc::O_RDONLY;
        let truncate = flags.0 & libc::O_TRUNC != 0;
        let opened = self.fs.open_with_pages(ino(node), writable, truncate, request.pid());
        if truncate && opened.is_ok() && !keeps_privilege(request) {
            self.drop_privilege(ino(node));
        }
        match opened {
            // What others change is invalidated explicitly: the pages stay good from open to open.
            Ok((handle, Pages::Good)) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE),
            Ok((handle, Pages::Stale)) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Ok((handle, Pages::Bypassed)) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO),
            Err(failure) => reply.error(errno(&failure)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (parent, name, maker) = (ino(parent), name.to_owned(), maker(request, mode));
        let exclusive = flags & libc::O_EXCL != 0;
        self.soon(move |fs| async move {
            match fs.create(parent, &name, maker, exclusive).await {
                Ok((made, handle)) => reply.created(
                    &made.ttl,
                    &attr(&made),
                    GENERATION,
                    FileHandle(handle),
                    FopenFlags::FOPEN_KEEP_CACHE,
                ),
                Err(failure) => reply.error(errno(&failure)),
            }
        });
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let node = ino(node);
        if let Some(read) = self.fs.read_now(node, handle.0, offset, size) {
            return data(reply, read);
        }
        self.soon(move |fs| async move { data(reply, fs.read(node, handle.0, offset, size).await) });
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let node = ino(node);
        if flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID) {
            self.drop_privilege(node);
        }
        // Pages of a memory map are written back with any descriptor of the file.
        let is_guessed = flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let by = if is_guessed { By::Anybody(handle.0) } else { By::Handle(handle.0) };
        if let Some(outcome) = self.fs.write_now(node, by, offset, bytes) {
            return written(reply, outcome);
        }
        let bytes = bytes.to_vec();
        self.soon(move |fs| async move { written(reply, fs.write(node, by, offset, &bytes).await) });
    }

    fn flush(&self, request: &Request, node: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        let (node, pid) = (ino(node), request.pid());
        if !self.fs.begin_close(handle.0, pid) {
            return reply.ok();
        }
        self.soon(move |fs| async move { empty(reply, fs.close(node, handle.0, pid).await) });
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.fs.release(handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let node = ino(node);
        self.soon(move |fs| async move { empty(reply, fs.fsync(node).await) });
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // Names are answered when Files.com has them; those of temporary files are durable with them.
        reply.ok();
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(self.folders.begin()), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _: &Request,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let (node, folders) = (ino(node), self.folders.clone());
        self.soon(move |fs| async move {
            let entries = match folders.lines(&fs, node, handle.0, offset).await {
                Ok(entries) => entries,
                Err(failure) => return reply.error(errno(&failure)),
            };
            for (entry, next) in entries.iter().zip(1..).skip(offset as usize) {
                if reply.add(INodeNo(entry.ino.0), next, kind(entry.shape), &entry.name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn readdirplus(
        &self,
        _: &Request,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let (node, folders) = (ino(node), self.folders.clone());
        self.soon(move |fs| async move {
            let entries = match folders.lines(&fs, node, handle.0, offset).await {
                Ok(entries) => entries,
                Err(failure) => return reply.error(errno(&failure)),
            };
            for (entry, next) in entries.iter().zip(1..).skip(offset as usize) {
                // Gone since the snapshot: the next reader will not see it.
                let Ok(found) = fs.attr(entry.ino) else { continue };
                let number = INodeNo(entry.ino.0);
                if reply.add(number, next, &entry.name, &found.ttl, &attr(&found), GENERATION) {
                    break;
                }
                // The kernel counts a look-up for every line but the first two.
                if next > 2 {
                    let _ = fs.look_at(entry.ino);
                }
            }
            reply.ok();
        });
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.folders.end(handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.soon(|fs| async move {
            // Files.com states neither a quota nor free space.
            let used = fs.stored_bytes().await.unwrap_or(0).div_ceil(BLOCK_SIZE.into());
            let (all, name) = (used.saturating_add(BLOCKS), LONGEST_NAME as u32);
            // Nor how many files there may be: as many are free as there are.
            reply.statfs(all, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK_SIZE, name, BLOCK_SIZE);
        });
    }

    fn access(&self, _: &Request, node: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        // The kernel itself compares modes and owners.
        empty(reply, self.fs.attr(ino(node)).map(drop));
    }

    fn getxattr(&self, _: &Request, node: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let node = ino(node);
        if !name.as_bytes().starts_with(RESERVED.as_bytes()) {
            return xattr(reply, size, self.fs.xattr(node, name));
        }
        let name = name.to_owned();
        self.soon(async move |fs| xattr(reply, size, fs.told_by_name(node, &name).await));
    }

    fn listxattr(&self, _: &Request, node: INodeNo, size: u32, reply: ReplyXattr) {
        xattr(reply, size, self.fs.xattr_names(ino(node)));
    }

    fn setxattr(
        &self,
        _: &Request,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let expects = match flags {
            0 => Expects::Nothing,
            libc::XATTR_CREATE => Expects::Absence,
            libc::XATTR_REPLACE => Expects::Presence,
            _ => return reply.error(Errno::EINVAL),
        };
        self.when_durable(reply, self.fs.set_xattr(ino(node), name, value, expects));
    }

    fn removexattr(&self, _: &Request, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.when_durable(reply, self.fs.remove_xattr(ino(node), name));
    }

    fn fallocate(
        &self,
        request: &Request,
        node: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let end = match mode {
            0 => offset.saturating_add(length),
            // Room beyond the end, which no reader would see: Files.com needs none set aside.
            libc::FALLOC_FL_KEEP_SIZE => 0,
            _ => return reply.error(Errno::EOPNOTSUPP),
        };
        let node = ino(node);
        if !keeps_privilege(request) {
            self.drop_privilege(node);
        }
        let by = By::Handle(handle.0);
        self.soon(move |fs| async move { empty(reply, fs.extend(node, by, end).await) });
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        // "Is this a terminal?", mostly.
        reply.error(Errno::ENOTTY);
    }

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        // The kernel remembers this and finds data everywhere and a hole at the end.
        reply.error(Errno::ENOSYS);
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The kernel remembers this and copies by reading and writing.
        reply.error(Errno::ENOSYS);
    }
}

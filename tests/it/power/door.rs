//! The disk as the kernel sees it: a FUSE filesystem in memory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use filescomfs::mount::unmount::unmount;
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::disk::{Disk, Node, Number};

/// Nobody but this kernel changes anything.
const FOREVER: Duration = Duration::from_secs(3600);
const GENERATION: Generation = Generation(0);
const BLOCK: u32 = 4096;

/// A disk that several may look at.
pub type Shared = Arc<Mutex<Disk>>;

/// A disk that is mounted, until it is dropped.
pub struct Plugged {
    point: PathBuf,
    session: Option<BackgroundSession>,
}

impl Plugged {
    /// Mounts a disk at a folder, which is made.
    pub fn at(point: &Path, disk: &Shared) -> Self {
        std::fs::create_dir_all(point).unwrap();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("disk".into()), MountOption::DefaultPermissions];
        config.n_threads = Some(2);
        let session = fuser::spawn_mount(Door(disk.clone()), point, &config).expect("the disk is mounted");
        Self { point: point.to_owned(), session: Some(session) }
    }
}

/// Whoever used it is dead.
impl Drop for Plugged {
    fn drop(&mut self) {
        let _ = unmount(&self.point, true);
        let _ = self.session.take().map(BackgroundSession::join);
    }
}

struct Door(Shared);

impl Door {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, folder: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr, i32> {
        let mut disk = self.disk();
        let number = disk.make(folder.0, name, node)?;
        attr(&disk, number)
    }

    fn file(&self, request: &Request, folder: INodeNo, name: &OsStr, mode: u32) -> Result<FileAttr, i32> {
        self.make(folder, name, Node::new(false, mode, (request.uid(), request.gid())))
    }
}

fn attr(disk: &Disk, number: Number) -> Result<FileAttr, i32> {
    let node = disk.node(number)?;
    let size = node.content.size();
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if node.is_folder { FileType::Directory } else { FileType::RegularFile },
        perm: node.mode as u16,
        nlink: if node.is_folder { 2 } else { 1 },
        uid: node.owner.0,
        gid: node.owner.1,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn entry(reply: ReplyEntry, outcome: Result<FileAttr, i32>) {
    match outcome {
        Ok(attr) => reply.entry(&FOREVER, &attr, GENERATION),
        Err(errno) => reply.error(Errno::from_i32(errno)),
    }
}

fn empty(reply: ReplyEmpty, outcome: Result<(), i32>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(Errno::from_i32(errno)),
    }
}

fn attributes(reply: ReplyAttr, outcome: Result<FileAttr, i32>) {
    match outcome {
        Ok(attr) => reply.attr(&FOREVER, &attr),
        Err(errno) => reply.error(Errno::from_i32(errno)),
    }
}

impl fuser::Filesystem for Door {
    fn lookup(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let disk = self.disk();
        entry(reply, disk.child(folder.0, name).and_then(|number| attr(&disk, number)));
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attributes(reply, attr(&self.disk(), node.0));
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        if let Ok(node) = disk.node_mut(number.0) {
            node.mode = mode.map_or(node.mode, |mode| mode & 0o7777);
            node.owner = (uid.unwrap_or(node.owner.0), gid.unwrap_or(node.owner.1));
            size.into_iter().for_each(|size| node.content.resize(size));
        }
        attributes(reply, attr(&disk, number.0));
    }

    fn mkdir(&self, request: &Request, folder: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        entry(reply, self.make(folder, name, Node::new(true, mode, (request.uid(), request.gid()))));
    }

    fn unlink(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.disk().remove(folder.0, name));
    }

    fn rmdir(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.disk().remove(folder.0, name));
    }

    fn rename(
        &self,
        _: &Request,
        folder: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        empty(reply, self.disk().rename((folder.0, name), (to.0, new_name)));
    }

    fn create(
        &self,
        request: &Request,
        folder: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.file(request, folder, name, mode) {
            Ok(attr) => {
                reply.created(&FOREVER, &attr, GENERATION, FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
            }
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().node(number.0) {
            Ok(node) => reply.data(&node.content.read(offset, size as usize)),
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.disk().node_mut(number.0) {
            Ok(node) => {
                node.content.write(offset, data);
                reply.written(data.len() as u32);
            }
            Err(errno) => reply.error(Errno::from_i32(errno)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, self.disk().sync_file(number.0));
    }

    fn fsyncdir(&self, _: &Request, folder: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.disk().sync_folder(folder.0);
        reply.ok();
    }

    fn readdir(&self, _: &Request, folder: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.disk();
        let names = disk.node(folder.0).map(|node| &node.names).into_iter().flatten();
        for ((name, number), next) in names.zip(1..).skip(offset as usize) {
            let is_folder = disk.node(*number).is_ok_and(|node| node.is_folder);
            let kind = if is_folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(*number), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        let longer = self.disk().node_mut(number.0).map(|node| {
            if offset + length > node.content.size() {
                node.content.resize(offset + length);
            }
        });
        empty(reply, longer);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, BLOCK, 255, BLOCK);
    }
}

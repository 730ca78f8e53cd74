//! Extended attributes. No journal hears of them: brokers keep nothing in them.
//!
//! In: inode numbers and names. Out: the backing file system's answers.

use std::ffi::OsStr;

use rustix::fs::{
    XattrFlags, getxattr, getxattr_query, listxattr, listxattr_query, removexattr, setxattr,
};
use rustix::io::Errno;

use super::{Answer, Files};

/// What a caller with a buffer of some size gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::disk) enum Value {
    /// The size only, as no buffer was given.
    Size(u32),
    /// The bytes.
    Bytes(Vec<u8>),
}

impl Files {
    /// One attribute.
    pub(in crate::disk) fn xattr(&self, number: u64, name: &OsStr, size: u32) -> Answer<Value> {
        let path = self.inodes.proc_path(number)?;
        if size == 0 {
            return Ok(Value::Size(getxattr_query(path, name)? as u32));
        }
        let mut value = vec![0; size as usize];
        let length = getxattr(path, name, value.as_mut_slice())?;
        value.truncate(length);
        Ok(Value::Bytes(value))
    }

    /// The names of all attributes.
    pub(in crate::disk) fn xattrs(&self, number: u64, size: u32) -> Answer<Value> {
        let path = self.inodes.proc_path(number)?;
        if size == 0 {
            return Ok(Value::Size(listxattr_query(path)? as u32));
        }
        let mut names = vec![0; size as usize];
        let length = listxattr(path, names.as_mut_slice())?;
        names.truncate(length);
        Ok(Value::Bytes(names))
    }

    /// Sets one attribute.
    pub(in crate::disk) fn set_xattr(
        &self,
        number: u64,
        name: &OsStr,
        value: &[u8],
        flags: i32,
    ) -> Answer<()> {
        let flags = XattrFlags::from_bits(flags as u32).ok_or(Errno::INVAL)?;
        setxattr(self.inodes.proc_path(number)?, name, value, flags)
    }

    /// Removes one attribute.
    pub(in crate::disk) fn remove_xattr(&self, number: u64, name: &OsStr) -> Answer<()> {
        removexattr(self.inodes.proc_path(number)?, name)
    }
}

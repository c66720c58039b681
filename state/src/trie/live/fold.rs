use super::{
    Link,
    node::{Kind, Node},
};

/// Places that [`fold_at`] tells apart.
pub(crate) const PLACES: usize = 256;

/// Folds what no block has come to since `before`, in the part of the trie whose keys start with
/// the byte `place`, and returns how many bytes of memory that has freed. All of it must be on disk.
///
/// The uppermost nodes of a large trie stay.
pub(crate) fn fold_at(root: &mut Link, place: u8, before: u64) -> usize {
    let [high, low] = [place >> 4, place & 0x0f];
    let mut link = root;
    for nibble in [high, low] {
        if !is_branch(link) {
            break;
        }
        match branch(link).and_then(|children| children.get_mut(usize::from(nibble))) {
            Some(child) => link = child,
            None => return 0,
        }
    }
    fold(link, before)
}

fn is_branch(link: &Link) -> bool {
    matches!(&link.node, Some(node) if matches!(node.kind, Kind::Branch(_)))
}

/// The children, if it is a branch that is behind the link.
fn branch(link: &mut Link) -> Option<&mut [Link; 16]> {
    match link.node.as_mut().map(|node| &mut node.kind) {
        Some(Kind::Branch(children)) => Some(children),
        _ => None,
    }
}

fn fold(link: &mut Link, before: u64) -> usize {
    let Some(node) = &mut link.node else {
        return 0;
    };
    if node.used < before && !link.changed {
        let freed = size_below(node);
        link.node = None;
        return freed;
    }
    match &mut node.kind {
        Kind::Leaf(leaf) => fold(&mut leaf.storage, before),
        Kind::Extension { child, .. } => fold(child, before),
        Kind::Branch(children) => children.iter_mut().map(|child| fold(child, before)).sum(),
    }
}

/// Bytes of memory that a node takes with all below it.
pub(super) fn size_below(node: &Node) -> usize {
    let below = |link: &Link| link.node.as_deref().map_or(0, size_below);
    let below = match &node.kind {
        Kind::Leaf(leaf) => below(&leaf.storage),
        Kind::Extension { child, .. } => below(child),
        Kind::Branch(children) => children.iter().map(below).sum(),
    };
    node.size().saturating_add(below)
}

#[cfg(test)]
impl Link {
    /// Bytes of memory that the trie takes.
    pub(crate) fn bytes(&self) -> usize {
        self.node.as_deref().map_or(0, size_below)
    }
}

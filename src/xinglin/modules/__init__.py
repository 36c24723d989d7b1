"""What messages mean, one file a domain. `MODULES` is explicit and ordered, low to high; no discovery."""

from xinglin.kernel.executor import KERNEL
from xinglin.kernel.module import ModuleSet
from xinglin.modules import access, consent, members, records, subjects

MODULES = (members.MODULE, subjects.MODULE, consent.MODULE, records.MODULE, access.MODULE)


def module_set() -> ModuleSet:
    return ModuleSet(MODULES, KERNEL)

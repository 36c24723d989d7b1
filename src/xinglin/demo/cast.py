"""Who takes part in the demo, and the words in which its steps are told."""

from typing import NamedTuple

from xinglin.home import NewOrganisation
from xinglin.kernel.genesis import MemberKind

HARBOUR, XINGLIN, PRACTICE, INSURER, REGULATOR = "harbour", "xinglin", "practice", "insurer", "regulator"

ORGANISATIONS = (
    NewOrganisation(HARBOUR, "海港综合医院", "Harbour General", MemberKind.HOSPITAL),
    NewOrganisation(XINGLIN, "杏林人民医院", "Xinglin People's Hospital", MemberKind.HOSPITAL),
    NewOrganisation(PRACTICE, "柳树巷家庭医生诊所", "Willow Lane Family Practice", MemberKind.PRACTICE),
    NewOrganisation(INSURER, "松林健康保险", "Pinewood Health Insurance", MemberKind.INSURER),
    NewOrganisation(REGULATOR, "健康数据监管局", "Health Data Authority", MemberKind.REGULATOR),
)

DOCTOR = "chen"
DOCTOR_NAME = "陈医生 Dr Chen"        # of a person there is one name, for readers of both languages
FAMILY_DOCTOR = "liu"
FAMILY_DOCTOR_NAME = "柳医生 Dr Liu"
WALLET = "patient"
PASSPHRASE = "demo"                # of the demo's own wallet, printed on purpose


class Told(NamedTuple):
    """A step in words: what happens, and what it proves."""

    zh: str
    en: str
    proves_zh: str
    proves_en: str


STEPS: dict[str, Told] = {
    "import": Told(
        "两家医院导入各自患者的病历", "Two hospitals import their patients' records",
        "病历加密存放在持有方的保险库里，账本上只有承诺值；主体尚未认领，谁也不能代患者授权",
        "every resource is sealed in its holder's vault, the ledger has commitments; nobody can grant in her place"),
    "claim": Told(
        "患者用同一个钱包认领她在两家医院的主体", "A patient claims her subject at both hospitals with one wallet",
        "她的密钥、医院的共同签名和认领码缺一不可；两个主体没有相同的标识、密钥或有效期",
        "her key, the hospital's co-signature and a one-time code, all three; the two share no id, key or expiry"),
    "denied": Told(
        "另一家医院的医生请求查看：拒绝", "A doctor of the other hospital asks: denied",
        "没有授权就没有答复；拒绝也在她的访问记录里占一个编号",
        "no consent, no answer; and the denial has its number in her history"),
    "grant": Told(
        "患者授权化验和用药，用于治疗，30 天；医生再次请求：收到",
        "She grants laboratory and medications, for treatment, 30 days; the doctor asks again: received",
        "医生收到的正是授权的部分，只有她能解密，每一部分都与账本上的承诺值一致",
        "exactly the granted part arrived, encrypted to the doctor alone, each part true to its commitment"),
    "withheld": Told(
        "医生请求精神科文书：拒绝", "The doctor asks for a psychiatric note: denied",
        "得到的答复与请求一份不存在的文书时一字不差：请向患者申请",
        "in the same words as for a note that does not exist, with a path: ask the patient"),
    "history": Told(
        "患者查看谁请求过，并离线证明访问记录完整", "She lists who asked, and proves offline that the list is complete",
        "少一条，证明就不成立", "with one entry left out the proof fails"),
    "revoke": Told(
        "患者撤回授权", "She takes it back",
        "正在进行的下一页和下一次请求都被拒绝", "the next page of an answer under way and the next request are denied"),
    "expire": Told(
        "授权到期自动失效", "A consent runs out by itself",
        "无需任何人操作；到期本身也有一份回执", "nobody did anything; the timer's outcome has a receipt of its own"),
    "no-personal-data": Told(
        "在保险库之外的每个字节里查找个人信息", "Every byte outside the vault is searched for people",
        "导入过的姓名、住址、号码和特意埋下的标记，一处也找不到",
        "no name, address, number or canary of the input is there"),
    "receipt": Told(
        "在空文件夹里离线验证一份回执", "A receipt is verified in an empty folder, without network or node",
        "完好的通过；改动一个比特的、截断的、别的网络的都不通过，各说明原因",
        "the good one passes; one changed bit, a cut file, another network's each fail with the reason"),
    "absence": Told(
        "患者证明没有授权给保险公司", "She proves that there is no consent to the insurer",
        "“没有”也能离线验证", "that something is not there verifies offline too"),
}

"""Words and texts that pairs are made of; of the words those are taken that are single tokens."""

FEMALE_NAMES = (
    *("Mary", "Anna", "Sarah", "Emily", "Laura", "Alice", "Julia", "Emma", "Jessica", "Rachel", "Lisa", "Amy"),
    *("Jennifer", "Michelle", "Elizabeth", "Kate", "Jane", "Susan", "Karen", "Helen", "Maria", "Linda", "Ruth"),
)
MALE_NAMES = (
    *("John", "James", "David", "Michael", "Robert", "Paul", "Mark", "Peter", "Tom", "Daniel", "Andrew", "Kevin"),
    *("Richard", "William", "Joseph", "Thomas", "Steven", "Brian", "Adam", "Simon", "George", "Henry", "Edward"),
)
PLACES = ("store", "garden", "restaurant", "school", "hospital", "office", "house", "station", "park", "market")
THINGS = ("drink", "book", "ring", "computer", "ball", "phone", "letter", "key", "gift", "bag")

INDIRECT_OBJECT = (
    "When {first} and {second} went to the {place}, {again} gave a {thing} to",
    "Then, {first} and {second} went to the {place}. {again} gave a {thing} to",
    "Then, {first} and {second} had a lot of fun at the {place}. {again} gave a {thing} to",
    "Then, {first} and {second} were working at the {place}. {again} decided to give a {thing} to",
    "Then, {first} and {second} were thinking about going to the {place}. {again} wanted to give a {thing} to",
    "After {first} and {second} went to the {place}, {again} gave a {thing} to",
    "While {first} and {second} were working at the {place}, {again} gave a {thing} to",
    "When {first} and {second} got a {thing} at the {place}, {again} decided to give it to",
)

EVENTS = (
    *("war", "conflict", "siege", "revolt", "campaign", "expedition", "voyage", "project", "dispute", "reform"),
    *("trial", "strike", "drought", "plague", "debate", "alliance", "crisis", "program", "reign", "truce"),
)
CENTURIES = tuple(str(number) for number in range(11, 18))
LASTED = (
    "The {event} lasted from the year {century}{year} to the year {century}",
    "The {event} went on from the year {century}{year} until the year {century}",
    "The {event} began in the year {century}{year} and ended in the year {century}",
)

NOUNS = (
    *(("key", "keys"), ("book", "books"), ("door", "doors"), ("box", "boxes"), ("car", "cars"), ("tree", "trees")),
    *(("house", "houses"), ("table", "tables"), ("picture", "pictures"), ("bottle", "bottles"), ("dog", "dogs")),
    *(("cat", "cats"), ("chair", "chairs"), ("letter", "letters"), ("window", "windows"), ("wall", "walls")),
)
VERBS = ("is", "are")
BESIDE = (
    "The {noun} near the {other}",
    "The {noun} behind the {other}",
    "The {noun} beside the {other}",
    "The {noun} in front of the {other}",
)

PRONOUNS = ("she", "he")
TOLD_OF = (
    "When {name} came home,",
    "Last night {name} stayed at home because",
    "After the game {name} said that",
    "On Sunday {name} slept until",
)

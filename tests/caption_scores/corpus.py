"""Six images with captions of ours, and what pycocoevalcap 1.2 says of them (classes Bleu, Rouge and Cider)."""

CAPTIONS = [
    "a small dog runs across the wet grass",
    "two people sit on a bench near the lake",
    "a plate of food",
    "a red bus is parked in front of a tall building",
    "the cat the cat the cat sleeps",
    "purple clouds everywhere",
]
REFERENCES = [
    ["a dog is running across the grass", "a small brown dog runs on wet grass", "the dog plays outside"],
    ["two people are sitting on a bench by a lake", "a couple sits near the water on a wooden bench"],
    ["a white plate with rice and green vegetables on a table", "a plate of food with rice and vegetables"],
    ["a red double-decker bus parked in front of a building", "a bus stands on the street near a tall building"],
    ["a cat sleeps on the sofa", "the cat is sleeping", "a grey cat lies on a soft sofa and sleeps"],
    ["a man rides a wave on a surfboard", "someone is surfing in the sea"],
]

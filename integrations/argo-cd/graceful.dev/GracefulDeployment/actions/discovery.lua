local is_paused = obj.spec.paused == true

local actions = {}
actions["restart"] = {["iconClass"] = "fa fa-fw fa-redo"}
actions["pause"] = {["disabled"] = is_paused, ["iconClass"] = "fa fa-fw fa-pause"}
actions["resume"] = {["disabled"] = not is_paused, ["iconClass"] = "fa fa-fw fa-play"}
actions["scale"] = {
  ["params"] = {
    {["name"] = "replicas", ["default"] = tostring(obj.spec.replicas)}
  },
}
return actions
